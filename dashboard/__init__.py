"""The dashboard: one page over the coordinator's read-only views."""
