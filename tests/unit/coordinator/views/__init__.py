"""The views of the coordinator's records."""
