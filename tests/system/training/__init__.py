"""Whole runs of every strategy, of shorter rounds, late updates, robust rules and shared noise."""
