"""Hospitals and a coordinator as processes on a network."""
