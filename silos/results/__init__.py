"""What comes back to a hospital, for its own people."""
