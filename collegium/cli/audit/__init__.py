"""Commands about the log, its proofs, and witnesses outside the consortium: ``collegium audit``."""
