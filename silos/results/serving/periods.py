"""Periods of serving, as the events of a log tell of them; pure, no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocol.transport.serving_statement import RECORDED, RUNNING, UNRECORDED
from silos.results.serving.events import ServingEvent, ServingEventKind


@dataclass(frozen=True, kw_only=True)
class LoggedPeriod:
    """A time in which a model was loaded.

    Attributes:
        number: of the line that began it.
        snapshot, model, run, use, source: see ``ServingEvent``.
        since, until: its times; ``until`` is None while it lasts.
        end: ``recorded``, ``running`` or ``unrecorded``.
    """

    number: int
    snapshot: str | None
    model: str
    run: str
    use: str
    source: str
    since: str
    until: str | None
    end: str


def periods_in(
    events: Sequence[ServingEvent],
    is_held: Callable[[int], bool],
    last_known: Callable[[ServingEvent, Sequence[ServingEvent]], str],
) -> tuple[LoggedPeriod, ...]:
    """Returns the periods that events tell of.

    Args:
        events: lines of a log.
        is_held: whether something holds the lock of the period that a line of this number began.
        last_known: when a period that was cut off served last, as far as is known.
    """
    ends = {one.began: one for one in events if one.began is not None}
    found = []
    for begun in events:
        if begun.kind is not ServingEventKind.BEGAN:
            continue
        end, until, how = ends.get(begun.number), None, RUNNING
        if end is not None:
            is_cut_off = end.kind is ServingEventKind.CUT_OFF
            until, how = (end.until, UNRECORDED) if is_cut_off else (end.time, RECORDED)
        elif not is_held(begun.number):
            until, how = last_known(begun, events), UNRECORDED
        found.append(
            LoggedPeriod(
                number=begun.number,
                snapshot=begun.snapshot,
                model=begun.model or "",
                run=begun.run,
                use=begun.use,
                source=begun.source,
                since=begun.time,
                until=until,
                end=how,
            )
        )
    return tuple(found)


def held_periods(events: Sequence[ServingEvent]) -> tuple[LoggedPeriod, ...]:
    """Returns the periods of a log in which every one that was cut off has its end."""
    return periods_in(events, lambda number: True, lambda begun, known: begun.time)


def open_periods(events: Sequence[ServingEvent]) -> list[ServingEvent]:
    """Returns the events that began a period of which the log has no end."""
    ended = {one.began for one in events}
    return [one for one in events if one.kind is ServingEventKind.BEGAN and one.number not in ended]
