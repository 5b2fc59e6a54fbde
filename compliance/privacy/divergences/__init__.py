"""Measures of how far one patient moves an event: Rényi divergences and trade-off curves."""
