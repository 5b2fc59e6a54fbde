"""Verification of a folder, the coordinator's or a hospital's own, and of budgets."""
