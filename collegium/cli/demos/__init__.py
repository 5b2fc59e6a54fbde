"""Demonstrations: in one process, and as a network of processes."""
