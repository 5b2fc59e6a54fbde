"""Says what a fault left behind, from the folders alone; one judge for every fault.

What must hold, whatever happened:

1. The run has ended, and if it did not finish it says why.
2. The coordinator's log and every record in it verify; the model kept is the one logged.
3. Every hospital's ledger verifies, and holds every head that the hospital ever signed.
4. Every masked vector of which a single byte reached the coordinator is SENT in the
   ledger of the hospital that it came from.
5. No reservation paid for more than it reserved, none paid twice for one vector,
   and no context was booked twice.
6. Every round was finished once at most.
7. Where all hospitals were in every round, the model is the one of a run without a
   fault: always after first attempts, and after more where what was tried again is
   the same noised update (``same_update``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from compliance.ledger.entries import NOTHING, UNOPENED, Entry, State
from coordinator.audit.verification import verify_records
from coordinator.database.store import RoundRow, RunRow, Store
from coordinator.database.workspace import Workspace
from protocol.errors import FederationError
from protocol.identity.roster import parse_roster
from protocol.transport.privacy_summary import open_summary, read_summaries
from silos.database.database import read_hospital
from tests.long.chaos.witness import seen


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run ended, and what of the list above does not hold."""

    state: str
    reason: str
    model: str | None
    missing: tuple[str, ...]
    retried: int
    open_reservations: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def told(self) -> str:
        """The outcome in a few words, for the table."""
        if self.state != "finished":
            return f"{self.state}: {self.reason}"
        away = f"without {', '.join(self.missing)}" if self.missing else "all hospitals in it"
        again = f", {self.retried} attempt{'s' * (self.retried > 1)} given up"
        return f"finished, {away}{again if self.retried else ''}"


def judge(
    home: Path,
    hospitals: Mapping[str, Path],
    run_id: str,
    *,
    model: str | None,
    same_update: bool = False,
) -> Verdict:
    """Returns the verdict over the folders of a coordinator and its hospitals.

    Args:
        home: the coordinator's folder.
        hospitals: the database file of each hospital.
        run_id: the run that the fault struck.
        model: the digest of the model without a fault; None where it may differ.
        same_update: a training round that was tried again had masked its updates before.
    """
    problems: list[str] = []
    store = Store(Workspace(home).database)
    try:
        with store.read() as session:
            row = session.get_one(RunRow, run_id)
            rounds = session.scalars(
                select(RoundRow).filter_by(run_id=run_id).order_by(RoundRow.id)
            ).all()
            problems += _of_log(home, session)
            heads = _heads(row)
            finished = [r for r in rounds if r.state == "finished"]
            missing = {site for r in finished for site in json.loads(r.dropped_json)}
            state, reason, name = row.state, row.failure or "", row.model_digest
            again = [r for r in finished if r.round_kind == "training" and r.attempt]
            comparable = model is not None and not missing and (same_update or not again)
            retried = len([r for r in rounds if r.state == "failed"])
            if any(r.state == "open" for r in rounds):
                problems.append("a round is still open")
            if len({(r.round_kind, r.number) for r in finished}) != len(finished):
                problems.append("a round was finished twice")
    finally:
        store.close()
    if state not in ("finished", "failed", "stopped"):
        problems.append(f"the run is {state}: it did not end")
    if state in ("failed", "stopped") and not reason:
        problems.append(f"the run {state} and does not say why")
    if state == "finished" and comparable and name != model:
        problems.append("all hospitals were in every round, and the model is another one")
    left: set[str] = set()
    for site, path in hospitals.items():
        found, is_open = _of_ledger(site, path, home, heads.get(site, set()))
        problems += found
        left |= {site} if is_open else set()
    return Verdict(
        state=state,
        reason=reason,
        model=name,
        missing=tuple(sorted(missing)),
        retried=retried,
        open_reservations=tuple(sorted(left)),
        problems=tuple(problems),
    )


def _of_log(home: Path, session: object) -> list[str]:
    workspace = Workspace(home)
    try:
        found = verify_records(session, workspace.public_key())  # type: ignore[arg-type]
        for name in found.models:
            workspace.read_snapshot(name)
    except FederationError as error:
        return [f"the log does not verify: {error}"]
    return []


def _heads(row: RunRow) -> dict[str, set[str]]:
    """Returns the heads of the ledgers that hospitals signed in this run."""
    roster = parse_roster(row.roster_json.encode())
    words = read_summaries(row.sites_json)
    return {
        site: {open_summary(word, roster.key_of(site)).ledger_head} for site, word in words.items()
    }


def _of_ledger(site: str, path: Path, home: Path, heads: set[str]) -> tuple[list[str], bool]:
    problems: list[str] = []
    hospital = read_hospital(path, site=site)
    try:
        try:
            hospital.ledger.verify(remembered=sorted(heads - {UNOPENED}))
        except FederationError as error:
            problems.append(f"{site}: {error}")
        with hospital.transaction() as guard:
            entries = list(guard.entries())
    finally:
        hospital.close()
    sent = [entry for entry in entries if entry.state is State.SENT]
    booked = {entry.blob for entry in sent}
    came = {part.blob for part in seen(home) if part.site == site and part.kind == "masked"}
    if came - booked:
        problems.append(f"{site}: {len(came - booked)} vectors left that the ledger never booked")
    if len({entry.context for entry in sent}) != len(sent):
        problems.append(f"{site}: one context was booked twice")
    plans = [entry for entry in entries if entry.state is State.RESERVED]
    for plan in plans:
        problems += _of_plan(site, plan, [entry for entry in sent if entry.parent == plan.number])
    closed = {e.parent for e in entries if e.state in (State.SETTLED, State.FREED)}
    return problems, any(plan.number not in closed for plan in plans)


def _of_plan(site: str, plan: Entry, sent: list[Entry]) -> list[str]:
    problems = []
    if not sum((entry.rho for entry in sent), NOTHING).fits_into(plan.rho):
        problems.append(f"{site}: more was sent for {plan.round_kind} than was reserved")
    paid = [entry.content for entry in sent if entry.rho]
    if len(set(paid)) != len(paid):
        problems.append(f"{site}: one vector was paid twice")
    free = {entry.content for entry in sent if not entry.rho}
    if free - set(paid):
        problems.append(f"{site}: a vector left that was never paid")
    return problems
