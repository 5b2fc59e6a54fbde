"""Models: the register with its versions and steps, released models, how each is loaded."""

from dashboard.app_pages.models.page import show

#: What the page shows.
__all__ = ["show"]
