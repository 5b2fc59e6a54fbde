"""Approvals in rows: changes, steps of incidents, rosters, studies, holds, the access review."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from compliance.facts.formatting import Format, show
from compliance.governance.access.review import AccessReview
from compliance.governance.acts import ActRequest
from compliance.governance.incidents.course import IncidentStep
from compliance.governance.incidents.playbooks import Playbook
from compliance.governance.people import act_words
from compliance.governance.retention import Hold
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import WaitingChange
from coordinator.views.members.approvals import RosterStanding, RunApprovals
from dashboard.texts import say
from protocol.identity.timestamps import read_time

_HEX = re.compile(r"[0-9a-f]{64}")


def change_title(change: WaitingChange) -> str:
    """Returns one line about a change: number, what it does, to whom or what."""
    return f"{say('approvals.change', number=change.number)}: {asked_words(change.change.request)}"


def asked_words(request: ActRequest) -> str:
    """Returns what is asked for in words."""
    return f"{act_words(request.action)} ({request.subject_kind} {request.subject})"


def change_details(change: WaitingChange) -> list[dict[str, str]]:
    """Returns everything that a change says, each in a line; nothing is left out."""
    what, value = say("approvals.what"), say("approvals.value")
    request = change.change.request
    rows = [
        (say("approvals.proposed_by"), change.change.proposed_by),
        (say("approvals.lapses"), show(change.change.expires, Format.TIME)),
        *((name, _shown(said)) for name, said in sorted(request.details.items())),
        (say("approvals.digest"), grouped(change.digest)),
    ]
    return [{what: name, value: text} for name, text in rows]


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    return grouped(value) if isinstance(value, str) else str(value)


def grouped(text: str) -> str:
    """Returns a digest or key in groups of eight, as people read it to each other; others as is.

    >>> grouped("0123456789abcdef" * 4)[:18], grouped("a note")
    ('01234567 89abcdef ', 'a note')
    """
    if not _HEX.fullmatch(text):
        return text
    return " ".join(text[place : place + 8] for place in range(0, len(text), 8))


def decided_rows(changes: Sequence[WaitingChange]) -> list[dict[str, str]]:
    """Returns changes that wait no longer, the newest first."""
    return [
        {
            say("approvals.number"): str(one.number),
            say("approvals.what"): asked_words(one.change.request),
            say("approvals.proposed_by"): one.change.proposed_by,
            say("approvals.outcome"): one.state,
            say("approvals.decided_by"): one.decided_by or "",
        }
        for one in sorted(changes, key=lambda each: -each.number)
    ]


def incident_title(one: NumberedIncident) -> str:
    """Returns an incident in a line: number, state, title."""
    drill = say("today.drill") if one.incident.drill else ""
    return f"{one.number} · {one.incident.state.value} · {one.incident.title}{drill}"


def step_rows(steps: Sequence[IncidentStep]) -> list[dict[str, str]]:
    """Returns the steps of an incident, in order, with what came of each."""
    return [
        {
            say("approvals.step"): step.step,
            say("approvals.when"): show(step.at, Format.TIME),
            say("approvals.who"): f"{step.person} ({step.role})" if step.person else "NOBODY",
            say("approvals.said"): " ".join(filter(None, (step.told, step.note))),
            say("approvals.came"): "; ".join(
                f"{one.kind} {one.subject}: {one.result}" for one in step.measures
            ),
            say("approvals.second"): _second(step),
        }
        for step in steps
    ]


def _second(step: IncidentStep) -> str:
    if step.confirmed_by is not None:
        return f"{step.confirmed_by}, {show(step.confirmed_at, Format.TIME)}"
    if step.confirm_by is None:
        return ""
    return say("approvals.unconfirmed", until=show(step.confirm_by, Format.TIME))


def playbook_rows(playbook: Playbook) -> list[dict[str, str]]:
    """Returns the steps of a playbook, each with its command."""
    return [
        {
            say("approvals.number"): str(number),
            say("approvals.playbook"): step.what,
            say("approvals.command"): step.command,
        }
        for number, step in enumerate(playbook.steps, start=1)
    ]


def closed_rows(incidents: Sequence[NumberedIncident]) -> list[dict[str, str]]:
    """Returns closed incidents, the newest first, with what was learned."""
    return [
        {
            say("approvals.number"): str(one.number),
            say("approvals.what"): f"{one.incident.title}"
            f"{say('today.drill') if one.incident.drill else ''}",
            say("approvals.when"): show(one.incident.steps[-1].at, Format.TIME),
            say("approvals.said"): one.incident.steps[-1].note,
        }
        for one in sorted(incidents, key=lambda each: -each.number)
    ]


def roster_rows(rosters: Sequence[RosterStanding], now: datetime) -> list[dict[str, str]]:
    """Returns rosters with who has signed, who has yet to, and when each ends."""
    return [
        {
            say("approvals.roster"): str(one.version),
            say("approvals.state"): say(f"approvals.roster_{one.state}"),
            say("approvals.members"): ", ".join(one.sites),
            say("approvals.signed"): ", ".join(one.signed),
            say("approvals.to_sign"): f"{', '.join(one.waits_for)} "
            f"({say('approvals.needed', number=one.needed)})" if one.waits_for else "",
            say("approvals.ends"): f"{show(one.valid_until, Format.TIME)} "
            f"({say('approvals.days', number=(read_time(one.valid_until) - now).days)})",
        }
        for one in rosters
    ]  # fmt: skip


def study_rows(runs: Sequence[RunApprovals]) -> list[dict[str, str]]:
    """Returns the studies of runs with the hospitals that approved each, and its named approvers.

    A hospital that joins has approved; one that has not joined may have, or not: it alone knows.
    """
    return [
        {
            say("approvals.run"): one.run_id,
            say("approvals.study"): f"{one.study_name} · {one.study_digest[:16]}",
            say("approvals.state"): one.state,
            say("approvals.approved_by"): "; ".join(
                _approval(site, people) for site, people in sorted(one.approved.items())
            ),
            say("approvals.missing"): ", ".join(one.missing),
        }
        for one in runs
    ]


def _approval(site: str, people: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(f"{name} {on}" for name, on in people)
    return f"{site} ({named})" if named else site


def hold_rows(holds: Sequence[Hold]) -> list[dict[str, str]]:
    """Returns legal holds, the newest first."""
    return [
        {
            say("approvals.held"): f"{one.kind} {one.subject[:32]}",
            say("approvals.reason"): one.reason,
            say("approvals.placed"): f"{one.placed_by or 'NOBODY'}, "
            f"{show(one.placed_at, Format.TIME)}",
            say("approvals.lifted"): "" if one.lifted_at is None
            else show(one.lifted_at, Format.TIME),
        }
        for one in reversed(holds)
    ]  # fmt: skip


def review_rows(review: AccessReview) -> list[dict[str, str]]:
    """Returns who has which role, when they last did anything, and what is to be looked at."""
    return [
        {
            say("approvals.person"): line.name,
            say("approvals.roles"): ", ".join(line.roles),
            say("approvals.rights"): str(len(line.rights)),
            say("approvals.last_act"): show(line.last_act, Format.TIME) if line.last_act else "",
            say("approvals.key_until"): show(line.expires, Format.TIME),
            say("approvals.look_at"): "; ".join(line.notes),
        }
        for line in review.lines
    ]


def as_utc(time: datetime) -> datetime:
    """Returns a time that a form took, which is meant in UTC."""
    return time.replace(tzinfo=UTC)
