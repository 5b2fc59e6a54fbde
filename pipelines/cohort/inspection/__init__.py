"""Inspection of records for faults that no single cell shows."""
