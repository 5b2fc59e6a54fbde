"""Charts drawn from facts, each also in words."""
