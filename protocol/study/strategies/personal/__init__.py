"""Strategies with a model for each hospital: one file each; none imports another."""
