"""Makes the frozen vectors of ``tests/vectors`` from nothing but a seed."""
