"""``collegium audit``: the log, its proofs, and witnesses outside the consortium."""
