"""One poisoned hospital of nine: what it does to a mean, and to a median of three groups."""
