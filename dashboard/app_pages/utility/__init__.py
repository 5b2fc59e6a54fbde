"""Utility and privacy: how good models are against epsilon, and what they cost each hospital."""

from dashboard.app_pages.utility.page import show

#: What the page shows.
__all__ = ["show"]
