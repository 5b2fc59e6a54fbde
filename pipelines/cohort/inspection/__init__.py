"""Inspection of records for faults that no single cell shows, and what may be said of counts."""
