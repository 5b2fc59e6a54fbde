"""Everything that a page gets: the views of the store, and who looks."""

from dataclasses import dataclass, field

from dashboard.reading.views import DashboardViews
from dashboard.viewer import DemoViewer, Viewer


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page as it is asked for: by whom, over which store.

    ``views`` are checked for ``viewer`` where a login is needed: what the person may not see,
    they refuse with ``PolicyRefused``.
    """

    views: DashboardViews
    viewer: Viewer = field(default_factory=DemoViewer)
