"""The facts that alerts are judged by: records that have no place for an exact figure.

A simulation knows exact figures, of each hospital too. No record here has a place for one, so
no alert can depend on one. A part that is None was not looked at, or could not be read: alerts
about it are neither raised nor closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.largest_gap import LargestGap


@dataclass(frozen=True, kw_only=True)
class SignedShare:
    """The part of the patients' budget for life that a hospital signed it has booked so far."""

    site: str
    run_id: str
    study: str
    share: float


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """The released figures of a finished run: pooled risks, and each figure's largest gaps.

    ``question`` is the same for runs that can be compared; ``gaps`` are those between hospitals,
    ``group_gaps`` by grouping those between groups of patients.
    """

    run_id: str
    study: str
    question: str
    risks: RiskFigures | None = None
    gaps: Mapping[str, LargestGap] = field(default_factory=dict)
    group_gaps: Mapping[str, Mapping[str, LargestGap]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunRounds:
    """The rounds of a study's newest run.

    In ``refused`` rounds a sum was none that honest hospitals can give; ``suspects`` are the
    hospitals that those sums cannot tell apart. ``finished`` says who was in each of the last
    finished rounds, in order.
    """

    run_id: str
    study: str
    sites: tuple[str, ...]
    refused: int
    suspects: tuple[str, ...]
    finished: tuple[frozenset[str], ...]


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """The end of a certificate or roster; ``of`` is hospitals, coordinator or roster."""

    of: str
    name: str
    site: str | None
    ends: datetime


@dataclass(frozen=True, kw_only=True)
class OpenIncident:
    """An incident that is not closed, and no drill: its number, and what of it is still due.

    ``notify_by`` is None once a notification is recorded, ``confirm_by`` unless a containment waits
    for a second person.
    """

    number: int
    notify_by: datetime | None
    confirm_by: datetime | None


@dataclass(frozen=True, kw_only=True)
class DriftReading:
    """A release about something that is watched over time.

    ``watched`` names it (a column, the scores), ``study`` its study; ``release`` counts from 1, and
    ``run_id`` is the run that made it.
    ``statistic`` was computed from released counts; it is ``flagged`` where it lies beyond
    ``threshold``, by the rule that priced the false alarms.
    """

    study: str
    run_id: str
    watched: str
    release: int
    statistic: float
    threshold: float
    flagged: bool


@dataclass(frozen=True, kw_only=True)
class EndedCanary:
    """A canary that the coordinator has ended as a regression: of which model, which version, when.

    ``version`` is the snapshot's digest.
    """

    model: str
    version: str
    at: str


@dataclass(frozen=True, kw_only=True)
class ServedOther:
    """A time in which a hospital stated another version of a model than it was to serve.

    ``expected`` and ``stated`` are digests of snapshots; ``expected`` is None where it was to serve
    none.
    """

    model: str
    site: str
    expected: str | None
    stated: str
    lasted: timedelta


@dataclass(frozen=True, kw_only=True)
class AlertFacts:
    """Everything that one look found.

    Attributes:
        now: when it was.
        shares: each hospital's newest signed share.
        evaluated: finished runs with released figures, newest first.
        rounds: of each study, its newest run.
        drift: every release about what is watched, in order.
        heard: when each member was last heard from; where the service began later, that.
        expiries: the certificates in use, and the signed roster.
        faults: how many faults verifying the records has found.
        incidents: those that are not closed.
        canaries: those that ended as a regression, until another one begins.
        served_other: where the newest statement of a hospital disagrees with the register.
    """

    now: datetime
    shares: tuple[SignedShare, ...] | None = None
    evaluated: tuple[EvaluatedRun, ...] | None = None
    rounds: tuple[RunRounds, ...] | None = None
    drift: tuple[DriftReading, ...] | None = None
    heard: Mapping[str, datetime] | None = None
    expiries: tuple[Expiry, ...] | None = None
    faults: int | None = None
    incidents: tuple[OpenIncident, ...] | None = None
    canaries: tuple[EndedCanary, ...] | None = None
    served_other: tuple[ServedOther, ...] | None = None
