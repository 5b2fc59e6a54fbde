"""One run: how good its model is and for whom, what it cost, and how its rounds went."""

from dashboard.parts.one_run.run import show_run

#: What the page shows.
__all__ = ["show_run"]
