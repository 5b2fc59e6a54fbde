"""Whole runs against a coordinator, a line or a hospital that does not play by the rules."""
