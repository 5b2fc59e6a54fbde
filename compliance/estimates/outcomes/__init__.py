"""Figures of one outcome of several: a class, a finding or a time, from noised counts."""
