"""Reports: chosen, previewed, exported and signed."""

from dashboard.app_pages.reports.page import show

#: What the page shows.
__all__ = ["show"]
