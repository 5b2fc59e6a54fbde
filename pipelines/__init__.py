"""A hospital's computations: cohort, networks, per-patient gradients and metrics."""
