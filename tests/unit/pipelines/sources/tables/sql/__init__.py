"""Records of a database."""
