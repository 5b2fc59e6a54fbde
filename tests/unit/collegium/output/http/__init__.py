"""Servers that commands start."""
