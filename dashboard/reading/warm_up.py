"""The first answers of a folder, computed before anybody waits for them.

The first look at a long log reads who cosigned it and which acts it holds, and every run's line:
two seconds that the first visitor would wait. What is refused or cannot be read is left to the
page, which says so.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from coordinator.views.log.search import LogQuery
from dashboard.reading.cached import CachedViews
from dashboard.reading.folders import views_of
from protocol.errors import FederationError

#: What the pages ask first of one folder, beside its runs.
_FIRST: Sequence[Callable[[CachedViews], object]] = (
    CachedViews.sites,
    CachedViews.rosters,
    CachedViews.approvals,
    CachedViews.alerts,
    CachedViews.notes,
    CachedViews.governance,
    CachedViews.calendars,
    CachedViews.acts,
    CachedViews.cosigned_log,
    lambda views: views.search_log(LogQuery(person="-")),  # finds the places of all acts
    lambda views: views.dossier(views.runs()[0].run_id),
)


def warm_up(folder: Path) -> None:
    """Asks the views of a folder what its pages ask first."""
    with suppress(FederationError):
        views = views_of([folder])
        runs = views.runs()
        if isinstance(views, CachedViews):
            for ask in _FIRST if runs else ():
                with suppress(FederationError):
                    ask(views)
