"""Who trains, who validates, who is tested: decided and written before any training."""
