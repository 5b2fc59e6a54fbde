"""Counts of a hospital's patients by what a model says of them, or of its columns."""
