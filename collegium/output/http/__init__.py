"""Servers that commands start: the dashboard's, and the limits that each of them has."""
