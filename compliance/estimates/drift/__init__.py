"""Drift between noised histograms: distances, their null distribution, a calendar's flags."""
