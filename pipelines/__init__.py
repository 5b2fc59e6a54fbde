"""The medicine: cohort, networks, per-patient gradients and metrics."""
