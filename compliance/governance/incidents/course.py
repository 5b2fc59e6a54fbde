"""An incident's course: opened, contained, notified, closed; each step an act of a person.

Rules:

1. Containing may be done again while the incident is not closed. A notification, or the reason why
   none is due, follows a containment; closing follows that.
2. The clock runs from when the incident became known: 72 hours to the notification of the authority
   (GDPR article 33 paragraph 1), or what the access policy says if that is less. A later one says
   why it is late.
3. A containment is one person's act, and another one confirms it in time. Until then it is shown as
   unconfirmed, and the incident cannot be closed. Nothing is undone by itself: whoever delays must
   not be able to undo a containment.
4. A drill goes the same way and changes nothing else: what it would do is written down.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from compliance.governance.incidents.playbooks import PLAYBOOKS
from compliance.governance.people import same_name
from protocol.errors import PolicyRefused, StoreBroken
from protocol.identity.timestamps import read_time, write_time

#: How bad an incident may be.
SEVERITIES = ("low", "medium", "high", "critical")
_MAX_TITLE, _MAX_NOTE = 200, 2000


class IncidentState(StrEnum):
    """A state of an incident."""

    OPEN = "open"
    CONTAINED = "contained"
    NOTIFIED = "notified"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One thing that a containment does: pause, stop, revoke, suspend or roll-back, and of what.

    ``result`` is what came of it: done, would be done (a drill), recorded, or failed and why.
    """

    kind: str
    subject: str
    result: str = ""


@dataclass(frozen=True, kw_only=True)
class IncidentStep:
    """A step of a course: which, when, by whom in which role, and what they say.

    ``act`` is the digest of the person's act, None where the consortium has no people yet.
    ``confirm_by`` is until when another one is to confirm a containment, None where nobody need.
    """

    step: str
    at: str
    person: str
    role: str
    note: str
    act: str | None = None
    measures: tuple[Measure, ...] = ()
    told: str = ""
    confirm_by: str | None = None
    confirmed_by: str | None = None
    confirmed_at: str | None = None

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the step waits for a second person."""
        return self.confirm_by is not None and self.confirmed_by is None


@dataclass(frozen=True, kw_only=True)
class Incident:
    """An incident: kind, title, severity, when it became known, when notifying is due, steps."""

    kind: str
    title: str
    severity: str
    drill: bool
    known_at: str
    due_at: str
    state: IncidentState
    steps: tuple[IncidentStep, ...]

    @property
    def unconfirmed(self) -> tuple[IncidentStep, ...]:
        """The containments that wait for a second person."""
        return tuple(step for step in self.steps if step.is_unconfirmed)

    @property
    def is_told(self) -> bool:
        """Whether a notification, or the reason for none, is recorded."""
        return self.state in (IncidentState.NOTIFIED, IncidentState.CLOSED)

    def hours_left(self, now: datetime) -> float | None:
        """Returns the hours to the notification, negative when it is late; None once recorded."""
        if self.is_told:
            return None
        return (read_time(self.due_at) - now) / timedelta(hours=1)

    def contain(self, step: IncidentStep) -> "Incident":
        """Returns the incident with another containment.

        Raises:
            PolicyRefused: it is closed, or nothing is said about the containment.
        """
        self._require_open("contained")
        _require_note(step.note, "what was done")
        state = self.state if self.is_told else IncidentState.CONTAINED
        return replace(self, state=state, steps=(*self.steps, step))

    def confirm(self, person: str, at: str) -> "Incident":
        """Returns the incident with all containments of others confirmed by a person.

        Raises:
            PolicyRefused: none waits, or the person made those that do.
        """
        waiting = self.unconfirmed
        if not waiting:
            raise PolicyRefused("no containment of this incident waits for a second person")
        others = [step for step in waiting if same_name(step.person) != same_name(person)]
        if not others:
            raise PolicyRefused(f"{person} contained it: another person confirms")
        steps = tuple(
            replace(step, confirmed_by=person, confirmed_at=at) if step in others else step
            for step in self.steps
        )
        return replace(self, steps=steps)

    def notify(self, step: IncidentStep, now: datetime) -> "Incident":
        """Returns the incident with its notification, or with why none is due.

        Raises:
            PolicyRefused: it is not contained yet, is closed, or nothing is said; a late one says
                why in its note.
        """
        self._require_open("notified")
        if self.state is IncidentState.OPEN:
            raise PolicyRefused(
                "the incident is not contained yet: collegium incident contain; where nothing is "
                "to be contained its --note says why"
            )
        _require_note(step.note, "what was told, or why nobody is")
        left = self.hours_left(now)
        if left is not None and left < 0 and len(step.note.split()) < 3:
            raise PolicyRefused("the notification is late: the note says why (GDPR article 33)")
        return replace(self, state=IncidentState.NOTIFIED, steps=(*self.steps, step))

    def close(self, step: IncidentStep) -> "Incident":
        """Returns the closed incident.

        Raises:
            PolicyRefused: nothing is recorded about a notification, a containment is unconfirmed,
                or it is closed.
        """
        self._require_open("closed again")
        if self.state is not IncidentState.NOTIFIED:
            raise PolicyRefused(
                "no notification is recorded, nor why none is due: collegium incident notify"
            )
        if self.unconfirmed:
            first = self.unconfirmed[0]
            raise PolicyRefused(
                f"the containment of {first.at} by {first.person} is unconfirmed: another person "
                "runs collegium incident confirm"
            )
        _require_note(step.note, "what was learned")
        return replace(self, state=IncidentState.CLOSED, steps=(*self.steps, step))

    def _require_open(self, what: str) -> None:
        if self.state is IncidentState.CLOSED:
            raise PolicyRefused(f"the incident is closed: it cannot be {what}")


def clock_text(left: float | None, due_at: str) -> str:
    """Returns what is left of an incident's clock, in words.

    >>> clock_text(71.6, "2026-11-30T10:00:00.000Z")
    '72 h left to notify (until 2026-11-30T10:00Z)'
    """
    if left is None:
        return "notification recorded"
    if left < 0:
        return f"notification LATE by {-left:.0f} h (was due {due_at[:16]}Z)"
    return f"{left:.0f} h left to notify (until {due_at[:16]}Z)"


def open_incident(
    kind: str,
    title: str,
    severity: str,
    step: IncidentStep,
    *,
    drill: bool,
    known_at: str,
    notify_hours: int,
) -> Incident:
    """Returns a new incident.

    Args:
        kind: a playbook's.
        title: what happened, without a patient's data.
        severity: one of ``SEVERITIES``.
        step: its opening; what has become known is known by then.
        drill: whether it is only practised.
        known_at: when it became known; the clock runs from then.
        notify_hours: how long there is to notify.

    Raises:
        PolicyRefused: the kind or severity is none, the title is missing, or it became known later
            than now.
    """
    if kind not in PLAYBOOKS:
        raise PolicyRefused(f"there is no kind {kind!r}: the kinds are {', '.join(PLAYBOOKS)}")
    if severity not in SEVERITIES:
        raise PolicyRefused(f"the severity is one of {', '.join(SEVERITIES)}")
    if not title.strip() or len(title) > _MAX_TITLE or not title.isprintable():
        raise PolicyRefused(f"the title says what happened, in at most {_MAX_TITLE} letters")
    if known_at > step.at:
        raise PolicyRefused("an incident became known before it is opened: look at --known")
    due = read_time(known_at) + timedelta(hours=notify_hours)
    return Incident(
        kind=kind,
        title=title.strip(),
        severity=severity,
        drill=drill,
        known_at=known_at,
        due_at=write_time(due),
        state=IncidentState.OPEN,
        steps=(step,),
    )


def steps_text(steps: Sequence[IncidentStep]) -> str:
    """Returns steps as a database keeps them; the inverse of ``read_steps``."""
    return json.dumps([asdict(step) for step in steps], sort_keys=True)


def read_steps(text: str) -> tuple[IncidentStep, ...]:
    """Returns the steps that a database keeps.

    Raises:
        StoreBroken: they cannot be read.
    """
    try:
        return tuple(_read_step(said) for said in json.loads(text))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise StoreBroken("the steps of an incident are damaged; restore a backup") from error


def _read_step(said: Mapping[str, Any]) -> IncidentStep:
    measures = tuple(Measure(**one) for one in said["measures"])
    return IncidentStep(**{**said, "measures": measures})


def _require_note(note: str, what: str) -> None:
    if not note.strip() or len(note) > _MAX_NOTE:
        raise PolicyRefused(f"--note says {what}, in at most {_MAX_NOTE} letters")
