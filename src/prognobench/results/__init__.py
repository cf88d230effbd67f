"""The store of results: runs, their states, their predictions."""
