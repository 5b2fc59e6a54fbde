"""Approvals: hospitals' signatures, changes by two people, incidents, holds, the access review."""

from dashboard.app_pages.approvals.page import show

#: What the page shows.
__all__ = ["show"]
