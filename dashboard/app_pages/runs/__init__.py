"""Runs: all of them in a table, one of them with all that it came to, some beside each other.

The address names what is looked at: ``?run=NAME``, or ``?compare=NAME,NAME``.
"""

from dashboard.app_pages.runs.page import show

#: What the page shows.
__all__ = ["show"]
