"""The statement that a hospital makes of its log of serving, for the consortium's register."""

from collections.abc import Sequence
from datetime import timedelta

from protocol.identity.timestamps import read_time, write_time
from protocol.transport.serving_statement import (
    BATCH,
    MAX_PERIODS,
    RECORDED,
    RUNNING,
    ServedPeriod,
    ServingStatement,
    SignedServing,
)
from silos.results.serving.periods import LoggedPeriod
from silos.results.serving.serving_log import ServingLog, StatedTime


def made_statement(
    log: ServingLog,
    *,
    coordinator: str,
    site: str,
    since: str | None = None,
    again: bool = False,
    most: int = MAX_PERIODS,
) -> SignedServing:
    """Returns a signed statement of everything that was loaded since the last one.

    Where that is more than a statement holds it ends earlier; the next one goes on from there.

    Args:
        log: the hospital's.
        coordinator: the public key (hexadecimal) that signs the consortium's log.
        site: the hospital.
        since: from when it covers; see ``ServingLog.stating``.
        again: the newest statement is written anew, under the key of now.
        most: so many periods stand in a statement at most.

    Raises:
        PolicyRefused: there is nothing to state.
        WorkspaceRefused, StoreBroken: the log cannot be used, or was changed.
    """
    if again:
        covers, periods = log.stated_last()
        return log.sign(_statement(covers, periods, coordinator, site, most))
    with log.stating(since) as making:
        statement = _statement(making.covers, making.periods, coordinator, site, most)
        making.write_down(statement)
    return log.sign(statement)


def _statement(
    covers: StatedTime, periods: Sequence[LoggedPeriod], coordinator: str, site: str, most: int
) -> ServingStatement:
    until = covers.until
    listed = _listed(periods, covers.since, until)
    while len(listed) > most:
        until = _just_before(listed[most].since)
        listed = _listed(periods, covers.since, until)
    return ServingStatement(
        coordinator=coordinator,
        site=site,
        number=covers.number,
        since=covers.since,
        until=until,
        periods=tuple(listed),
        head=covers.head,
    )


def _just_before(time: str) -> str:
    return write_time(read_time(time) - timedelta(milliseconds=1))


def _listed(periods: Sequence[LoggedPeriod], since: str, until: str) -> list[ServedPeriod]:
    """Returns the periods within a time, in order; batches of one snapshot and day are one."""
    found: dict[tuple[str, ...], ServedPeriod] = {}
    for one in periods:
        part = _within(one, since, until)
        if part is None:
            continue
        is_whole_batch = part.use == BATCH and part.end == RECORDED
        key = (part.snapshot or "", part.since[:10]) if is_whole_batch else part.place
        known = found.get(key)
        found[key] = part if known is None else ServedPeriod(
            snapshot=part.snapshot,
            use=part.use,
            since=min(part.since, known.since),
            until=max(part.until, known.until),
            end=part.end,
        )  # fmt: skip
    return sorted(found.values(), key=lambda one: one.place)


def _within(one: LoggedPeriod, since: str, until: str) -> ServedPeriod | None:
    """Returns the part of a period in a time; None where there is none."""
    first = max(one.since, since)
    last = until if one.until is None else min(one.until, until)
    if first > last:
        return None
    end = one.end if last == one.until else RUNNING
    return ServedPeriod(snapshot=one.snapshot, use=one.use, since=first, until=last, end=end)
