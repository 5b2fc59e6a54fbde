"""Strategies compared: each trained on the same hospitals, with several seeds, in a simulation."""
