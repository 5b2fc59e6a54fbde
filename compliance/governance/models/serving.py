"""Comparison of what hospitals were to serve with what they stated that they served.

Rules:

1. A statement is about a line of versions as far as it names versions of it. Other models that a
   hospital scores with are no matter of that line.
2. A hospital *disagrees* where it states that it had another version loaded than it was to serve,
   or one where it was to serve none. That it had nothing loaded is no disagreement: it may score at
   certain hours only, or by other software.
3. Batches of a day are stated as one period, so a disagreement by batches lies within that period.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from compliance.governance.models.stages import LineState, ModelLine
from protocol.identity.timestamps import NEVER, read_time
from protocol.transport.serving_statement import ServedPeriod, ServingStatement

#: Before any time that a log holds.
_ALWAYS = "0000-01-01T00:00:00.000Z"


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A time in which a hospital stated another version than it was to serve.

    Attributes:
        site: the hospital.
        since, until: the time.
        expected: the version that it was to serve; None where it was none.
        stated: the version that it stated.
        use: ``service`` or ``batch``.
        number: of the statement.
    """

    site: str
    since: str
    until: str
    expected: str | None
    stated: str
    use: str
    number: int

    @property
    def lasted(self) -> timedelta:
        """The length of the time."""
        return read_time(self.until) - read_time(self.since)


@dataclass(frozen=True, kw_only=True)
class StatedServing:
    """The part of a hospital's statement that is about one time.

    Attributes:
        number: of the statement; ``statement`` is its digest.
        since, until: what the statement covers.
        expected: the version that the hospital was to serve at that time; None for none.
        own: what it stated to have loaded of the line at that time.
        others: what it stated to have loaded beside, of no version of the line.
    """

    number: int
    statement: str
    since: str
    until: str
    expected: str | None
    own: tuple[ServedPeriod, ...]
    others: tuple[ServedPeriod, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether it stated just the version that it was to serve; None where none was loaded."""
        if not self.own:
            return None
        return {one.snapshot for one in self.own} == {self.expected}


def versions_of(line: ModelLine) -> frozenset[str]:
    """Returns the digests of all versions that a line ever had."""
    return frozenset(event.version for event in line.events)


def disagreements(line: ModelLine, statement: ServingStatement) -> tuple[Disagreement, ...]:
    """Returns where a hospital's statement disagrees with a line's history, in order of time."""
    expected = _expected(line, statement.site)
    known, found = versions_of(line), []
    for period in statement.periods:
        if period.snapshot is None or period.snapshot not in known:
            continue
        for since, until, version in expected:
            first, last = max(since, period.since), min(until, period.until)
            # A moment that two parts share is in the later one; a moment's period in one of them.
            is_within = first < last or (first == last == period.since == period.until < until)
            if is_within and version != period.snapshot:
                found.append(
                    Disagreement(
                        site=statement.site,
                        since=first,
                        until=last,
                        expected=version,
                        stated=period.snapshot,
                        use=period.use,
                        number=statement.number,
                    )
                )
    return tuple(sorted(found, key=lambda one: (one.since, one.until)))


def stated_at(
    line: ModelLine, statements: Sequence[ServingStatement], site: str, time: str
) -> StatedServing | None:
    """Returns what a hospital stated about a time; None where no statement covers it.

    Args:
        line: the versions.
        statements: of any hospitals.
        site: the hospital.
        time: as the log writes it.
    """
    known = versions_of(line)
    for statement in statements:
        loaded = statement.at(time) if statement.site == site else None
        if loaded is not None:
            return StatedServing(
                number=statement.number,
                statement=statement.digest,
                since=statement.since,
                until=statement.until,
                expected=line.at(time).served_at(site),
                own=tuple(one for one in loaded if one.snapshot in known),
                others=tuple(one for one in loaded if one.snapshot not in known),
            )
    return None


def _expected(line: ModelLine, site: str) -> list[tuple[str, str, str | None]]:
    """Returns since when, until when and which version a hospital was to serve, in order."""
    state, changes = LineState(), [(_ALWAYS, LineState().served_at(site))]
    latest = _ALWAYS
    for event in line.events:
        state = state.after(event)
        latest = max(latest, event.time)  # a clock that was set back changes nothing before it
        if state.served_at(site) != changes[-1][1]:
            changes.append((latest, state.served_at(site)))
    ends = [since for since, _ in changes[1:]] + [NEVER]
    return [(since, end, version) for (since, version), end in zip(changes, ends, strict=True)]
