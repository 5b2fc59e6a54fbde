"""Comparisons of models: modes of privacy with each other, a federation with its baselines."""
