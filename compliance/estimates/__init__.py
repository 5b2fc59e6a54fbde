"""Figures from noised counts, each with an interval that covers patients and noise."""
