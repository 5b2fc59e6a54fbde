"""Vectors of numbers: tensors, fixed-point rings and their bounds, updates and evaluations."""
