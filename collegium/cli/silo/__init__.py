"""Commands of a hospital's own people: ``collegium silo``."""
