"""Verification: records held to the log, sums recomputed."""
