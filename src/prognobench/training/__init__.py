"""The engine: recipes, losses, the linear probe, gradient training."""
