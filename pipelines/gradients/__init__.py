"""Per-patient gradients: engines, exact clipping, and the tests that admit a network."""
