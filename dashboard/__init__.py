"""The dashboard: ten pages over the coordinator's read-only views, and the server in front."""
