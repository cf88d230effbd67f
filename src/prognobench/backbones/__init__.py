"""Pretrained vision encoders behind one sealed interface."""
