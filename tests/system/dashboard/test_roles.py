"""Every page in every role, in a browser, over a run that went over the network."""

from collections.abc import Callable, Mapping
from contextlib import closing

import pytest

from collegium.reports.request import ReportRequest, report_document
from compliance.reports.document import counts_of
from coordinator.views.views import Views, open_views
from dashboard.app import PAGES
from dashboard.texts import say
from tests.support.browser.keyboard import nameless, not_reached
from tests.support.browser.visit import Visit
from tests.support.dashboard.governed_folder import DRILL, EVE, NEW, GovernedFolder
from tests.support.hospital.accounts import DAN
from tests.support.hospital.people import ADA, BEA, CLEO

#: Pages that a data scientist may not see.
REFUSED = ("audit", "approvals")


def spaced(digest: str) -> str:
    return digest[:8]


def fairness(views: Views) -> list[str]:
    (run,) = views.runs()
    return [f"Run {run.run_id}, started", *(one.site for one in views.sites())]


def models(views: Views) -> list[str]:
    (run,) = views.runs()
    dossier = views.dossier(run.run_id)
    return [str(dossier.snapshot), run.run_id, ", ".join(one.site for one in views.sites())]


def sites(views: Views) -> list[str]:
    found = [f"{one.rounds.joined} of {one.rounds.asked} rounds" for one in views.sites()]
    return [*found, f"{len(found)} hospitals"]


def approvals(views: Views) -> list[str]:
    seen = views.governance()
    (change,), (incident,) = seen.changes, seen.incidents
    return [
        spaced(change.digest), change.change.request.subject, incident.incident.title,
        *(person.name for person in seen.people),
    ]  # fmt: skip


def audit(views: Views) -> list[str]:
    size = views.log_size()
    return [f"all {size} entries", f"{size - 1}"]


#: What each page shows of the store, whoever looks.
SHOWN: Mapping[str, Callable[[Views], list[str]]] = {
    "today": lambda views: [str(views.alerts()[0].cause["text"])],
    "runs": lambda views: [f"1 of {len(views.runs())} run", views.runs()[0].run_id],
    "utility": lambda views: [f"{sum(one.test_noise for one in views.runs())} with fixed test"],
    "fairness": fairness,
    "drift": lambda views: [say("drift.none")][len(views.calendars()) :],
    "models": models,
    "audit": audit,
    "reports": lambda _views: [],
    "sites": sites,
    "approvals": approvals,
}
#: What waits on the page of today, by who looks.
WAITS = {
    ADA: "Your change {change} waits for another person",
    BEA: "Change {change} waits for your confirmation",
    CLEO: "Change {change} waits for your confirmation",
}


#: Everybody at every page. Who may see all and who may not stand for those with other roles: of
#: them only what waits differs.
CASES = [
    pytest.param(
        name, page, marks=() if name in (BEA, DAN) or page == "today" else pytest.mark.long
    )
    for name in (BEA, DAN, ADA, CLEO, EVE)
    for page in PAGES
]


@pytest.mark.parametrize(("name", "page"), CASES)
def test_a_page_shows_what_the_store_says_or_nothing_of_it(
    name: str, page: str, seen_by: Callable[..., Visit], governed: GovernedFolder
) -> None:
    visit = seen_by(name)
    before = len(visit.received)
    visit.turn_to(say(f"navigation.{page}"))
    if page == "runs":  # a table draws the cells that are seen
        visit.page.get_by_test_id("stDataFrame").scroll_into_view_if_needed()
        visit.page.get_by_test_id("stDataFrame").get_by_text("small").first.wait_for(
            state="attached"
        )
    text = visit.content()
    with closing(open_views(governed.home)) as views:
        if name == DAN and page in REFUSED:
            assert say("navigation.refused", name=DAN) in text
            assert f"may not look at {page}" in text
            assert hidden(views, visit.received[before:], text) == []
        else:
            assert [one for one in SHOWN[page](views) if one not in text] == []
        if page == "today":
            waits = WAITS.get(name, "").format(change=governed.change)
            assert waits in text and (NEW in text) is bool(waits)
        if page == "reports":
            request = ReportRequest(name=views.runs()[0].run_id)
            counts = counts_of(report_document(governed.home, request))
            shown = visit.page.get_by_test_id("stMetricValue").all_inner_texts()
            assert [int(one) for one in shown] == [
                counts.evidenced, counts.declared, counts.missing
            ]  # fmt: skip
    assert visit.problems == []
    if name in (BEA, DAN):
        assert not_reached(visit.page) == []
        assert nameless(visit.page) == []
        assert visit.serious_faults() == []


def hidden(views: Views, received: list[bytes], text: str) -> list[str]:
    """Returns what a refused page gave away of people, changes, incidents and the log."""
    seen = views.governance(decided=True)
    secrets = {NEW, DRILL, *(spaced(change.digest) for change in seen.changes)}
    secrets |= {person.name for person in seen.people if person.name != DAN}
    secrets |= {person.public_key for person in seen.people}
    secrets |= {act.digest for act in views.acts()}
    sent = b"".join(received)
    return [one for one in secrets if one in text or one.encode() in sent]
