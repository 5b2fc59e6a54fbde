"""Sections of a study about its secure sums: who is in which, how, and what rule follows."""
