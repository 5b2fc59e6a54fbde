"""Entries, runs and alerts that only people may make: each stands within an act that allows it."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.audit.faults import Faults
from coordinator.database.alert_tables import AlertRow
from coordinator.database.store import ReferenceRow, RunRow
from coordinator.governance.governance import ACT_ENTRY, FOUND
from coordinator.governance.tables import ActRow
from protocol.log.entry import LogEntry

_PEOPLE = frozenset({"person.add", "person.roles", FOUND, "person.refound"})
_INCIDENT = frozenset(
    f"incident.{step}" for step in ("open", "contain", "confirm", "notify", "close")
)
#: By the type of an entry the acts of which one must allow it.
_GOVERNED: Mapping[str, frozenset[str]] = {
    "study-registered": frozenset({"study.register", "run.start"}),
    "invited": frozenset({"hospital.invite"}),
    "revoked": frozenset({"hospital.revoke", "incident.contain"}),
    "roster-proposed": frozenset({"roster.propose"}),
    "person-added": _PEOPLE,
    "person-ended": _PEOPLE | {"person.retire"},
    "person-suspended": frozenset({"incident.contain"}),
    "policy-changed": frozenset({"policy.change", FOUND}),
    "hold-placed": frozenset({"hold.place"}),
    "hold-lifted": frozenset({"hold.lift"}),
    "account-set": frozenset({"account.set"}),
    "account-ended": frozenset({"account.set", "account.remove"}),
    "identity-linked": frozenset({"account.link"}),
    "identity-unlinked": frozenset({"account.unlink"}),
    "model-founded": frozenset({"model.register"}),
    "model-registered": frozenset({"model.register"}),
    "model-canary-begun": frozenset({"model.canary"}),
    "model-promoted": frozenset({"model.promote"}),
    "model-rolled-back": frozenset({"model.roll-back"}),
    "model-retired": frozenset({"model.retire"}),
    "model-named": frozenset({"model.name"}),
    "model-served-stated": frozenset({"model.confirm-served"}),
    "release-key": frozenset({"model.export"}),
    **{
        f"{kind}-{state}": _INCIDENT
        for kind in ("incident", "drill")
        for state in ("opened", "contained", "confirmed", "notified", "closed")
    },
}


class _Windows:
    """The parts of the log within which acts of one effect were carried out."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._furthest: list[int] = []  # the last entry of any window so far

    def add(self, first: int, last: int) -> None:
        """Adds a window, from its first entry to its last; in the order of the first ones."""
        before = self._furthest[-1] if self._furthest else -1
        self._firsts.append(first)
        self._furthest.append(max(before, last))

    def covers(self, seq: int) -> bool:
        """Whether an entry lies in any window."""
        place = bisect_right(self._firsts, seq) - 1
        return place >= 0 and seq <= self._furthest[place]


def check_entries(
    entries: Sequence[LogEntry],
    sizes: Sequence[int],
    rows: Sequence[ActRow],
    simulated: Mapping[str, str],
    faults: Faults,
) -> None:
    """Checks that each entry that only people may make lies within an act that allows it.

    Args:
        entries: the whole log, in order.
        sizes: the sizes of the signed heads, in order: what was logged at once.
        rows: the acts.
        simulated: the study of each simulated run; see ``simulated_runs``.
        faults: takes what is found wrong.
    """
    windows = _windows(entries, sizes, rows)
    governed = False
    for entry in entries:
        governed = governed or entry.type in ("person-added", "policy-changed")
        allowed = _GOVERNED.get(entry.type)
        if not governed or allowed is None or entry.run is not None:
            continue
        if _is_of_simulation(entry, entries, simulated):
            continue
        if not any(windows[effect].covers(entry.seq) for effect in allowed & windows.keys()):
            faults.add(
                f"audit entry {entry.seq} ({entry.type}) has no act of a person: it was done past "
                "the service"
            )


def simulated_runs(session: Session) -> Mapping[str, str]:
    """Returns the digest of the study of each simulated run and pooled reference, by its name."""
    runs = select(RunRow.id, RunRow.study_digest).where(RunRow.simulation.is_(True))
    references = select(ReferenceRow.id, ReferenceRow.study_digest)
    return {name: study for asked in (runs, references) for name, study in session.execute(asked)}


def _is_of_simulation(
    entry: LogEntry, entries: Sequence[LogEntry], simulated: Mapping[str, str]
) -> bool:
    """Whether a simulation registered a study as it began: in one transaction, so at one time."""
    if entry.type != "study-registered" or entry.seq + 1 >= len(entries):
        return False
    begun = entries[entry.seq + 1]
    return (
        begun.run is not None
        and begun.time == entry.time
        and simulated.get(begun.run) == entry.payload
    )


def _windows(
    entries: Sequence[LogEntry], sizes: Sequence[int], rows: Sequence[ActRow]
) -> dict[str, _Windows]:
    """Returns by effect where acts were carried out; an act cut off leaves its own window open."""
    effects = {row.digest: row.effects.split() for row in rows if row.effects}
    unfinished = {row.digest for row in rows if row.outcome == "allowed"}
    places: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if entry.type.startswith(ACT_ENTRY) and entry.payload in effects:
            first, _ = places.get(entry.payload, (entry.seq, 0))
            places[entry.payload] = first, entry.seq
    ends = sorted(sizes)
    found: dict[str, _Windows] = defaultdict(_Windows)
    for act, (first, last) in places.items():  # in the order of their first entries
        after = bisect_right(ends, last)
        last = (ends[after] if after < len(ends) else last + 1) - 1
        for effect in effects[act]:
            found[effect].add(first, len(entries) if act in unfinished else last)
    return found


def check_rows(
    session: Session, entries: Sequence[LogEntry], rows: Sequence[ActRow], faults: Faults
) -> None:
    """Checks that runs were begun, and alerts acknowledged, by an act, since there are people."""
    since = next((entry.time for entry in entries if entry.type == "person-added"), None)
    if since is None:
        return
    begun = {row.run_id for row in rows if "run.start" in row.effects.split()}
    taken = {(row.subject, row.person) for row in rows if row.action == "alert.acknowledge"}
    runs = select(RunRow.id).where(RunRow.started_at > since, RunRow.simulation.is_(False))
    for run in session.scalars(runs):
        if run not in begun:
            faults.add("it was begun without an act of a person", run=str(run))
    alerts = select(AlertRow.id, AlertRow.acknowledged_by).where(AlertRow.acknowledged_at > since)
    for number, by in session.execute(alerts):
        if (str(number), by) not in taken:
            faults.add(f"alert {number} was acknowledged without an act of {by}")
