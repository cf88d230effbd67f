"""Fine-tuning strategies: one module each."""
