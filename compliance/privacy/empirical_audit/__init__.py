"""Statistics that hold a privacy claim against what was released."""
