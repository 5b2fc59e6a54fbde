"""Secure aggregation: both sides of one secure sum, its messages, keys, shares and masks."""
