"""Cohorts: patients, their images and outcomes."""
