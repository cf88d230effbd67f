"""From published checkpoints to timm's names, a module a format; values are never changed."""
