"""Members and their keys: the roster, fingerprints, the consortium's root, machine evidence."""
