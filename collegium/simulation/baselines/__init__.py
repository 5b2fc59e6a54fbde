"""Baselines of a federation: each hospital alone, all records pooled, all but one."""
