"""The audit of a run: who vouches for its log, who did what, what waits for people, and proofs."""

from dashboard.parts.audit.audit import show_audit

#: What the page shows.
__all__ = ["show_audit"]
