"""Governance: people, their signed acts, changes by two, incidents and legal holds, all logged."""
