"""Whole runs of every task, of statistics and of monitoring."""
