"""Figures of fairlearn and lifelines, which ours are held to."""
