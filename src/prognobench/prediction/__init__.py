"""An exported model: its folder, and predictions by it."""
