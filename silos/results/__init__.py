"""Results that come back to a hospital, for its own people."""
