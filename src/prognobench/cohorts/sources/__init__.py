"""Cohort sources: one module a dataset, each defining SOURCE."""
