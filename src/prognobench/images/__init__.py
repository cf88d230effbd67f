"""Images: decoded once into 8-bit grey, stored memory-mapped, augmented in batches."""
