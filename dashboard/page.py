"""Everything that a page gets: the views of the store, who looks, and the tools given to it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeAlias

from dashboard.reading.views import DashboardViews
from dashboard.viewer import DemoViewer, Viewer

#: Times the script of a page, by the name in its address, until the block ends.
TimesScript: TypeAlias = Callable[[str], AbstractContextManager[None]]


def untimed(_page: str) -> AbstractContextManager[None]:
    """Times nothing."""
    return nullcontext()


def _nobody_knows() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Functions that the command that starts the dashboard gives to its pages.

    Attributes:
        last_seen: when the running service last heard from each hospital, in seconds since 1970;
            None where no service runs.
        timed: times the script of a page, named in its address, until the block ends.
        answers: whether the database that did not answer does so again.
    """

    last_seen: Callable[[], Mapping[str, float] | None] = _nobody_knows
    timed: TimesScript = untimed
    answers: Callable[[], bool] = lambda: True


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page as it is asked for: by whom, over which store.

    ``views`` are checked for ``viewer`` where a login is needed: what the person may not see,
    they refuse with ``PolicyRefused``.
    """

    views: DashboardViews
    viewer: Viewer = field(default_factory=DemoViewer)
    tools: Tools = field(default_factory=Tools)
