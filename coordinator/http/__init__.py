"""The coordinator's endpoints, and what an unproven connection may cost."""
