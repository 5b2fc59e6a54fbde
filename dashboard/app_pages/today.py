"""Today: what needs somebody, at one glance, by who looks; refreshed while something runs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import streamlit as st

from compliance.governance.access.looking import Subject
from compliance.reports.document import Tone
from compliance.storage.clock import utc_now
from coordinator.views.alerts import Alert
from coordinator.views.governance import GovernanceView
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.elements.acts import show_what_came_of_it
from dashboard.elements.alerts import show_alert_notes
from dashboard.elements.kept import kept
from dashboard.elements.matters import show_matters
from dashboard.elements.refreshed import show_refreshed
from dashboard.page import Page
from dashboard.rows import audit
from dashboard.rows.consortium import matters
from dashboard.rows.consortium.matters import Matter
from dashboard.rows.consortium.sites import silent_matters
from dashboard.rows.words import plain
from dashboard.texts import say
from protocol.errors import FederationError, PolicyRefused, StoreSilent

Found = TypeVar("Found")

#: Seconds between two looks while something runs, and while nothing does.
_OFTEN, _SELDOM = 5, 60


def show(page: Page) -> None:
    """Shows the glance, then the forms for taking note of alerts."""
    show_what_came_of_it(page.views, page.viewer)
    runs: Sequence[RunSummary] = _read({}, page.views.runs, ())  # a fault is told in the glance
    is_at_work = any(run.state == "running" for run in runs)
    show_refreshed(page.viewer, partial(_glance, page), _OFTEN if is_at_work else _SELDOM)
    alerts: Sequence[Alert] = _read({}, page.views.alerts, ())
    show_alert_notes(alerts, page.viewer)


def _glance(page: Page) -> None:
    """Shows all that needs somebody, the most urgent part first.

    A part that cannot be read becomes a sentence, and the others stand all the same.
    """
    faults: dict[str, None] = {}
    runs: Sequence[RunSummary] = _read(faults, page.views.runs, ())
    alerts: Sequence[Alert] = _read(faults, page.views.alerts, ())
    seen: GovernanceView | None = None
    if page.viewer.may_see(Subject.APPROVALS):
        seen = _read(faults, page.views.governance, None)
    found: dict[str, list[Matter]] = {
        "waiting": [] if seen is None else _read(faults, partial(_waiting, page, seen), []),
        "alerts": matters.alert_matters(alerts),
        "failed": _read(faults, partial(matters.failed_matters, runs, partial(_failure, page)), []),
        "running": matters.running_matters(runs),
        "silent": _read(faults, partial(_silent, page), []),
        "budget": _read(faults, partial(_budgets, page, runs), []),
        "evidence": _read(faults, partial(_evidence, page, seen), []),
    }
    for fault in faults:
        st.error(plain(fault), icon=":material/error:")
    if not runs and not faults:
        st.info(say("runs.none"), icon=":material/info:")
    if not (found["waiting"] or found["failed"] or found["silent"] or alerts or faults):
        st.success(say("today.nothing"), icon=":material/check:")
    for name in _order(page):
        if name == "waiting" and (seen is None or matters.person_in(seen, page.viewer.name)):
            show_matters(say("today.waits_for_you"), found[name])
        else:
            show_matters(say(f"today.heading_{name}"), found[name])


def _read(faults: dict[str, None], look: Callable[[], Found], nothing: Found) -> Found:
    """Returns what a look finds; ``nothing`` where it fails, and why is added to the faults."""
    try:
        return look()
    except PolicyRefused:  # it is not for this person, or not of several folders
        return nothing
    except StoreSilent:  # then no part can be read
        raise
    except FederationError as error:
        faults[str(error)] = None
        return nothing


def _order(page: Page) -> tuple[str, ...]:
    """Returns the parts in the order in which a role needs them."""
    roles = page.viewer.roles
    if roles and roles <= {"data-scientist"}:
        return ("failed", "running", "alerts", "silent", "budget")
    if roles and roles <= {"auditor"}:
        return ("evidence", "waiting", "alerts", "failed", "running", "silent", "budget")
    return ("waiting", "alerts", "failed", "running", "silent", "budget", "evidence")


def _waiting(page: Page, seen: GovernanceView) -> list[Matter]:
    me, now = matters.person_in(seen, page.viewer.name), utc_now()
    found = matters.waiting_matters(seen, me, now)
    found += matters.ending_matters(
        seen.people if me is None else [me], page.views.rosters(), page.views.sites(), now
    )
    if matters.is_of(me, *seen.policy.right("roster.propose").roles):
        found += matters.hospital_matters(page.views.rosters(), page.views.approvals())
    return found


def _silent(page: Page) -> list[Matter]:
    return silent_matters(page.views.sites(), page.tools.last_seen(), utc_now())


def _budgets(page: Page, runs: Sequence[RunSummary]) -> list[Matter]:
    studies = {run.run_id: run.study_name for run in runs}
    return matters.budget_matters(page.views.sites(), studies)


def _evidence(page: Page, seen: GovernanceView | None) -> list[Matter]:
    """Returns whether a quorum has cosigned the log, and whether acts have a person."""
    if not page.viewer.may_see(Subject.AUDIT):
        return []
    size = page.views.log_size()
    log = kept("cosigned log", size, page.views.cosigned_log)
    said = [audit.cosigned_statement(log)]
    if seen is not None and (founding := audit.founding(seen)) is not None:
        said.append(founding)
    found = [
        Matter(text=one.text, page="audit", urgency=place, tone=one.tone, remedy=one.detail)
        for place, one in enumerate(said)
    ]
    found += [Matter(text=fault, page="audit", urgency=-1, tone=Tone.BAD) for fault in log.faults]
    return found


def _failure(page: Page, run_id: str) -> str | None:
    """Returns why a run failed; read once for each run of the session."""
    return kept(f"failure of {run_id}", run_id, lambda: page.views.dossier(run_id).failure)
