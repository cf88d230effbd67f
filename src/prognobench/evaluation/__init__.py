"""Metrics, intervals and comparisons, from stored predictions only."""
