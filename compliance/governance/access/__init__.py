"""Access to the dashboard: sealed keys, passwords, codes, lock-out, who may look at what."""
