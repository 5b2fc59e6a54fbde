"""The audit: who vouches for the log, who did what, what waits for people, and proofs."""

from dashboard.app_pages.audit.page import show

#: What the page shows.
__all__ = ["show"]
