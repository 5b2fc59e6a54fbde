"""Figures of a model with one score for each patient, from noised counts of scores in bins."""
