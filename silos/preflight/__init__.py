"""Checks before a study runs at a hospital: site file, records, network, budget."""
