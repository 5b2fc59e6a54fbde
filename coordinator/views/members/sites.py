"""Hospitals as pages show them: membership, connection, software, part in rounds, budget.

Nothing here says what a hospital's data are worth: who is in how many sums is counted, and no
hospital is ranked. What a round's record does not hold is None, never 0.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import RoundRow, RunRow
from coordinator.membership.members import MemberStatus, member_statuses
from coordinator.views.one_run.rows import summaries_in
from protocol.errors import FederationError, StoreBroken
from protocol.transport.privacy_summary import Summary

#: Rounds of so many of the newest runs are counted.
NEWEST_RUNS = 20


@dataclass(frozen=True, kw_only=True)
class SiteRounds:
    """A hospital's part in the finished rounds of the newest runs.

    ``asked`` rounds of runs that it joined: in the sum of ``joined``, dropped out of ``dropped``
    (others were of other batches or groups). ``updates`` are the seconds from a round's opening to
    its update, ``sent`` and ``received`` bytes; empty and None where no round says so.
    """

    asked: int = 0
    joined: int = 0
    dropped: int = 0
    updates: tuple[float, ...] = ()
    sent: int | None = None
    received: int | None = None


@dataclass(frozen=True, kw_only=True)
class SiteView:
    """One hospital.

    Attributes:
        site: its name.
        state: enrolled, invited, lapsed or revoked; simulated where it is no member of anything.
        certificate_until: when its certificate ends; None where it has none.
        roster: the version of the newest signed roster that names it; None where none does.
        runs: in how many runs it took part.
        newest: its newest signed summary; None before its first run.
        newest_run: of which run that is.
        software: what the coordinator knows of its software: engine, PyTorch, Opacus.
        rounds: its part in rounds.
    """

    site: str
    state: str
    certificate_until: str | None
    roster: int | None
    runs: int
    newest: Summary | None
    newest_run: str | None
    software: Mapping[str, str]
    rounds: SiteRounds


def sites_in(session: Session, now: str) -> tuple[SiteView, ...]:
    """Returns every hospital that was ever invited or took part, by name.

    Args:
        session: the consortium's database.
        now: the time at which an invitation is still good.

    Raises:
        StoreBroken: a record is damaged.
    """
    try:
        return _sites(session, now)
    except (ValueError, KeyError, TypeError, AttributeError, FederationError) as error:
        if isinstance(error, StoreBroken):
            raise
        raise StoreBroken("the record of a hospital is damaged; restore a backup") from error


def _sites(session: Session, now: str) -> tuple[SiteView, ...]:
    signed: dict[str, tuple[str, Summary]] = {}
    counts: dict[str, int] = defaultdict(int)
    newest_runs: list[tuple[str, frozenset[str]]] = []
    query = select(RunRow.id, RunRow.sites_json)
    newest_first = query.order_by(RunRow.started_at.desc(), RunRow.id.desc())
    for run_id, text in session.execute(newest_first.execution_options(yield_per=100)):
        joined = frozenset(json.loads(text).keys())
        for site in joined:
            counts[site] += 1
        if not joined <= signed.keys():  # of each hospital the newest alone is read: they are long
            summaries = summaries_in(text)
            signed = {site: (run_id, one) for site, one in summaries.items()} | signed
        if len(newest_runs) < NEWEST_RUNS:
            newest_runs.append((run_id, joined))
    rounds = _rounds(session, newest_runs)
    members = {one.site: one for one in member_statuses(session, now)}
    return tuple(
        _view(site, members.get(site), signed.get(site), counts[site], rounds.get(site))
        for site in sorted({*members, *signed})
    )


def _view(
    site: str,
    member: MemberStatus | None,
    signed: tuple[str, Summary] | None,
    runs: int,
    rounds: SiteRounds | None,
) -> SiteView:
    run, summary = signed or (None, None)
    return SiteView(
        site=site,
        state=member.state if member else "simulated",
        certificate_until=member.certificate_until if member else None,
        roster=member.roster if member else None,
        runs=runs,
        newest=summary,
        newest_run=run,
        software=_software(summary),
        rounds=rounds or SiteRounds(),
    )


def _software(summary: Summary | None) -> dict[str, str]:
    if summary is None:
        return {}
    said = {"engine": summary.engine, "PyTorch": summary.torch, "Opacus": summary.opacus}
    return {name: version for name, version in said.items() if version}


@dataclass
class _Tally:
    """Counts of one hospital while rounds are read."""

    asked: int = 0
    joined: int = 0
    dropped: int = 0
    updates: list[float] = field(default_factory=list)
    sent: int | None = None
    received: int | None = None

    def add(self, site: str, survivors: Iterable[str], dropped: Iterable[str]) -> None:
        self.asked += 1
        self.joined += site in survivors
        self.dropped += site in dropped

    def crossed(self, received: int, sent: int) -> None:
        self.received = (self.received or 0) + received
        self.sent = (self.sent or 0) + sent


def _rounds(session: Session, runs: Iterable[tuple[str, frozenset[str]]]) -> dict[str, SiteRounds]:
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    for run_id, joined in runs:
        query = select(RoundRow.survivors_json, RoundRow.dropped_json, RoundRow.conduct_json)
        finished = query.filter_by(run_id=run_id, state="finished").order_by(RoundRow.id)
        for survivors, dropped, conduct in session.execute(finished):
            inside, outside = set(json.loads(survivors)), set(json.loads(dropped))
            said = json.loads(conduct)
            for site in joined:
                tallies[site].add(site, inside, outside)
            for site, (received, sent) in said.get("traffic", {}).items():
                tallies[site].crossed(received, sent)
            for site, seconds in said.get("updates", {}).items():
                tallies[site].updates.append(float(seconds))
    return {
        site: SiteRounds(
            asked=one.asked,
            joined=one.joined,
            dropped=one.dropped,
            updates=tuple(one.updates),
            sent=one.sent,
            received=one.received,
        )
        for site, one in tallies.items()
    }
