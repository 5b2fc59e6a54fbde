"""Training on local records: DP-SGD with the patient as the unit, on Ray workers."""
