"""Commands for released models."""
