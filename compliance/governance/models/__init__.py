"""Rules for the versions of a released model."""
