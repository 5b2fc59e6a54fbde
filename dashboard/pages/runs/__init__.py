"""Runs: all of them, and one of them with how good its model is, what it cost and how it went."""

from dashboard.pages.runs.run import show

#: What the page shows.
__all__ = ["show"]
