"""Charts of a model with one score for each patient: calibration, and each threshold."""
