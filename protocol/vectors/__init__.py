"""What travels as numbers: tensors, fixed-point rings and their bounds, updates and evaluations."""
