"""Maps of where a trained model looked; reads the results and trains one fold of the best again."""
