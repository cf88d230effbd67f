"""The synthetic cohort and the embedded backbone: everything runs with no network."""
