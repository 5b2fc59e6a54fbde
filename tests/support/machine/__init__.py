"""Databases, commands and installed software."""
