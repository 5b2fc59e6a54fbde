"""The coordinator's log as both institutions read it: entries, Merkle trees, signed heads."""
