"""Reports: chosen, previewed, exported and signed."""

from dashboard.pages.reports.reports import show

#: What the page shows.
__all__ = ["show"]
