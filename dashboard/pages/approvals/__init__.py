"""Approvals: hospitals' signatures, changes by two people, incidents, holds, the access review."""

from dashboard.pages.approvals.approvals import show

#: What the page shows.
__all__ = ["show"]
