"""The consortium's audit log: entries, signed heads, and what verifies them."""
