"""Measures the worked templates of ``study new`` on their records."""
