"""Simulated consortia on one machine: runs, sweeps and pooled references."""
