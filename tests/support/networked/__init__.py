"""A consortium on loopback, and lines that fail."""
