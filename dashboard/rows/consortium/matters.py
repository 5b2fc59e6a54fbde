"""Matters of today in lines: what waits for a person, what runs, what failed, what ends.

A line says what it is, how urgent, on which page it is dealt with, and the remedy. Whom a matter
waits for is decided by the rules that the service applies (``compliance.governance``); the service
checks again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from compliance.facts.formatting import Format, show
from compliance.governance.access.review import EXPIRING_DAYS
from compliance.governance.incidents.course import IncidentState, clock_text
from compliance.governance.people import Person, Role, same_name
from compliance.governance.two_person import require_second
from compliance.reports.document import Tone
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.alerts import Alert
from coordinator.views.governance import GovernanceView, WaitingChange
from coordinator.views.members.approvals import RosterStanding, RunApprovals
from coordinator.views.members.sites import SiteView
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.texts import say
from protocol.errors import PolicyRefused
from protocol.identity.roster import ROSTER_WARNING
from protocol.identity.timestamps import read_time, write_time

#: A hospital renews its certificate by itself 2 to 3 days before the end; later it is late.
_CERTIFICATE_WARNING = timedelta(days=1)
#: States of a run that did not come to its end.
FAILED = frozenset({"failed", "refused", "stopped", "interrupted"})
#: So many failed runs are told.
_MOST_FAILED = 3
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Matter:
    """One line; ``urgency`` counts hours, the least first; ``page`` is where it is dealt with."""

    text: str
    page: str
    urgency: float
    tone: Tone = Tone.PLAIN
    remedy: str = ""


def ordered_matters(matters: Iterable[Matter]) -> list[Matter]:
    """Returns matters, the most urgent first."""
    return sorted(matters, key=lambda one: one.urgency)


def person_in(seen: GovernanceView, name: str) -> Person | None:
    """Returns the record of whoever looks; None without login."""
    return next(
        (one for one in seen.people if name and same_name(one.name) == same_name(name)), None
    )


def waiting_matters(seen: GovernanceView, me: Person | None, now: datetime) -> list[Matter]:
    """Returns what waits for a person's signature; without a person, for anybody's."""
    found = [
        *(_change(one, seen, me, now) for one in seen.changes),
        *(line for one in seen.incidents for line in _incident(one, seen, me, now)),
        _review(seen, me),
    ]
    return [one for one in found if one is not None]


def _may(seen: GovernanceView, me: Person | None, action: str) -> bool:
    return me is None or bool(me.roles & seen.policy.right(action).roles)


def _change(
    one: WaitingChange, seen: GovernanceView, me: Person | None, now: datetime
) -> Matter | None:
    request = one.change.request
    left = (read_time(one.change.expires) - now) / _HOUR
    said = {
        "change": one.number,
        "action": request.action,
        "subject": f"{request.subject_kind} {request.subject}",
        "by": one.change.proposed_by,
        "hours": f"{max(left, 0):.0f}",
    }
    if me is None:
        return Matter(text=say("today.change_waits", **said), page="approvals", urgency=left)
    if may_confirm(one, seen, me, now) is None:
        text = say("today.confirm_change", **said)
        return Matter(text=text, page="approvals", urgency=left - 1, tone=Tone.CAUTION)
    if same_name(one.change.proposed_by) == same_name(me.name):
        return Matter(text=say("today.own_change", **said), page="approvals", urgency=left + 1000)
    return None


def may_confirm(one: WaitingChange, seen: GovernanceView, me: Person, now: datetime) -> str | None:
    """Returns why a person may not confirm a change; None where they may."""
    try:
        require_second(one.change, me, seen.policy, write_time(now))
    except PolicyRefused as error:
        return str(error)
    return None


def _incident(
    one: NumberedIncident, seen: GovernanceView, me: Person | None, now: datetime
) -> Iterable[Matter]:
    incident = one.incident
    if incident.state is IncidentState.CLOSED:
        return
    left = incident.hours_left(now)
    said = {
        "number": one.number,
        "title": f"{incident.title}{say('today.drill') if incident.drill else ''}",
        "clock": clock_text(left, incident.due_at),
    }
    if left is not None:
        due = "contain" if incident.state is IncidentState.OPEN else "notify"
        if _may(seen, me, f"incident.{due}"):
            late = left < 0 and not incident.drill
            yield Matter(
                text=say(f"today.incident_{due}", **said),
                page="approvals",
                urgency=left - 100 if not incident.drill else left,
                tone=Tone.BAD if late else Tone.CAUTION,
            )
    for step in incident.unconfirmed:
        if me is None or (
            same_name(step.person) != same_name(me.name) and _may(seen, me, "incident.confirm")
        ):
            hours = (read_time(step.confirm_by or incident.due_at) - now) / _HOUR
            text = say("today.confirm_containment", by=step.person, **said)
            yield Matter(text=text, page="approvals", urgency=hours - 50, tone=Tone.CAUTION)
    if left is None and not incident.unconfirmed and _may(seen, me, "incident.close"):
        yield Matter(text=say("today.incident_close", **said), page="approvals", urgency=500)


def _review(seen: GovernanceView, me: Person | None) -> Matter | None:
    due = [note for note in seen.review.notes if "review" in note]
    if not seen.governed or not due or not _may(seen, me, "access.review"):
        return None
    return Matter(text=say("today.review", why="; ".join(due)), page="approvals", urgency=600)


def hospital_matters(
    rosters: Sequence[RosterStanding], approvals: Sequence[RunApprovals]
) -> list[Matter]:
    """Returns what waits for hospitals: the roster's signatures, and runs that some must join."""
    found = [
        Matter(
            text=say(
                "today.roster_waits",
                version=one.version,
                sites=", ".join(one.waits_for),
                signed=len(one.signed),
                needed=one.needed,
            ),
            page="approvals",
            urgency=200,
        )
        for one in rosters
        if one.waits_for
    ]
    found += [
        Matter(
            text=say(
                "today.run_waits", run=one.run_id, study=one.study_name,
                sites=", ".join(one.missing),
            ),
            page="approvals",
            urgency=150,
        )
        for one in approvals
        if one.state == "running" and one.missing
    ]  # fmt: skip
    return found


def running_matters(runs: Sequence[RunSummary]) -> list[Matter]:
    """Returns what runs and how far: round, silent hospitals, time left."""
    return [
        Matter(text=_running(run), page="runs", urgency=place, tone=_running_tone(run))
        for place, run in enumerate(runs)
        if run.state == "running"
    ]


def _running(run: RunSummary) -> str:
    said = say("today.run", study=run.study_name, run=run.run_id)
    progress = run.progress
    if progress is None:
        return say("today.at_work", run=said)
    parts = [say(f"today.progress_{progress.state}", run=said, place=progress.place)]
    if progress.waits_for:
        parts.append(say("today.waits_for", what=progress.waits_for))
    if progress.silent:
        parts.append(say("today.silent", sites=", ".join(progress.silent)))
    if progress.seconds_left is not None:
        parts.append(say("today.left", time=show(progress.seconds_left, Format.SECONDS)))
    return " ".join(parts)


def _running_tone(run: RunSummary) -> Tone:
    return Tone.CAUTION if run.progress is not None and run.progress.silent else Tone.PLAIN


def alert_matters(alerts: Sequence[Alert]) -> list[Matter]:
    """Returns the open alerts, the gravest first, then the newest; each with what to do."""
    grave = {"critical": Tone.BAD, "warning": Tone.CAUTION}
    return [
        Matter(
            text=say(
                "today.alert", number=one.number, severity=one.severity, text=one.cause["text"],
                noted="" if one.acknowledged_by is None
                else say("today.noted", who=one.acknowledged_by),
            ),
            page="runs" if one.run is not None else "sites",
            urgency=(list(grave).index(one.severity) if one.severity in grave else 2)
            - one.number / 1e9,
            tone=grave.get(one.severity, Tone.PLAIN),
            remedy=str(one.cause["remedy"]),
        )
        for one in alerts
    ]  # fmt: skip


def failed_matters(
    runs: Sequence[RunSummary], failure: Callable[[str], str | None]
) -> list[Matter]:
    """Returns the studies whose newest run did not come to its end, with why and the remedy.

    Args:
        runs: every run.
        failure: why a run failed, as it is recorded.
    """
    newest: dict[str, RunSummary] = {}
    for run in sorted(runs, key=lambda one: one.started_at, reverse=True):
        newest.setdefault(run.study_name, run)
    found = [run for run in newest.values() if run.state in FAILED][:_MOST_FAILED]
    return [
        Matter(
            text=say(
                f"today.{run.state}", run=say("today.run", study=run.study_name, run=run.run_id)
            ),
            page="runs",
            urgency=place,
            tone=Tone.CAUTION if run.state == "stopped" else Tone.BAD,
            remedy=failure(run.run_id) or say(f"today.{run.state}_remedy"),
        )
        for place, run in enumerate(found)
    ]


def budget_matters(sites: Sequence[SiteView], studies: Mapping[str, str]) -> list[Matter]:
    """Returns whose budget for life ends first, and how many more runs it pays for.

    Args:
        sites: every hospital.
        studies: the name of a run's study.
    """
    known = [one for one in sites if one.newest is not None and one.newest.budget_share is not None]
    if not known:
        return []
    first = max(known, key=lambda one: _share(one))
    newest, left = first.newest, 1 - _share(first)
    parts = [say("today.budget", site=first.site, left=show(left, Format.SHARE_LEFT))]
    price = newest.run_share if newest is not None else None
    if price:
        study = studies.get(first.newest_run or "", "")
        more = int(left / price + 1e-9)
        parts.append(
            say("today.next_run", study=study, price=show(price, Format.SHARE), number=more)
        )
    tone = Tone.BAD if price and left < price else Tone.CAUTION if left < 0.2 else Tone.PLAIN
    return [Matter(text=" ".join(parts), page="sites", urgency=0, tone=tone)]


def _share(one: SiteView) -> float:
    return 0.0 if one.newest is None else one.newest.budget_share or 0.0


def ending_matters(
    people: Sequence[Person],
    rosters: Sequence[RosterStanding],
    sites: Sequence[SiteView],
    now: datetime,
) -> list[Matter]:
    """Returns the keys, rosters and certificates that end soon."""
    found = []
    for person in people:
        left = read_time(person.expires) - now
        if left <= timedelta(days=EXPIRING_DAYS):
            text = say("today.key_ends", name=person.name, number=max(left.days, 0))
            found.append(_ending(text, left, "approvals"))
    for roster in rosters:
        left = read_time(roster.valid_until) - now
        if roster.state == "signed" and left <= ROSTER_WARNING:
            text = say("today.roster_ends", version=roster.version, number=max(left.days, 0))
            found.append(_ending(text, left, "approvals"))
    for site in sites:
        if site.certificate_until is None:
            continue
        left = read_time(site.certificate_until) - now
        if left <= _CERTIFICATE_WARNING:
            hours = f"{max(left / _HOUR, 0):.0f}"
            text = say("today.certificate_ends", site=site.site, hours=hours)
            found.append(_ending(text, left, "sites"))
    return found


def _ending(text: str, left: timedelta, page: str) -> Matter:
    tone = Tone.BAD if left <= timedelta(0) else Tone.CAUTION
    return Matter(text=text, page=page, urgency=left / _HOUR, tone=tone)


def is_of(me: Person | None, *roles: Role) -> bool:
    """Whether somebody has one of these roles; without a person, True."""
    return me is None or bool(me.roles & set(roles))


def may_confirm_containment(one: NumberedIncident, me: Person) -> bool:
    """Whether a containment of an incident that waits for a second person is another's."""
    return any(same_name(step.person) != same_name(me.name) for step in one.incident.unconfirmed)
