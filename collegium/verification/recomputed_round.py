"""Recomputes a kept round: its sum from the masked vectors, and what follows from the sum."""

from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy.orm import Session

from collegium.verification.inputs import read_key
from coordinator.audit.recompute import Recomputed, name_of, recompute
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.views.one_run.rows import find_run, newest_run, study_of
from protocol.errors import WorkspaceRefused


def recompute_round(
    out: Path, wanted: str, run: str | None, console: Console, *, key: str | None = None
) -> dict[str, Any]:
    """Computes the sum of a kept round again from what the hospitals sent.

    Args:
        out: the folder.
        wanted: the number of a training round, from 1, or ``evaluation``, or ``evaluation-5`` for
            the one after round 5.
        run: the beginning of a run's id; the newest run when None.
        console: where people read what was found.
        key: the log's key that is trusted, as ``audit verify`` takes it; the folder's when None.

    Raises:
        WorkspaceRefused: there is no such round, or it is no longer kept.
        MessageRefused: the key that was given is none.
        StoreBroken: it is not what the log says; the message says what differs.
    """
    workspace = Workspace.open(out)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        row = newest_run(session) if run is None else find_run(session, run)
        round_kind, number = _which(wanted, session, row)
        name = name_of(study_of(session, row), round_kind, number)
        found = recompute(
            session,
            RoundArchive(workspace.rounds),
            workspace.public_key() if key is None else read_key(key),
            run_id=row.id,
            round_kind=round_kind,
            number=number,
        )
    for one in found.sums:
        console.print(
            f"{name} of run {found.run_id}: masked vectors of {one.dim} "
            f"numbers from {', '.join(one.survivors)}",
            markup=False,
        )
        console.print(f"sum      {one.sum[:16]}, recomputed bit by bit: it is the one in the log")
    if found.model is not None:
        console.print(
            f"model    {found.model[:16]} follows from {_sums(found)}, and from the models of "
            "earlier rounds where the study averages them: it is the one in the log"
        )
    elif round_kind == "training":
        console.print(
            "model    not compared: it follows from more than this sum: a server that remembers, "
            "or models that are no longer kept (training.average_last, aggregation.keep_rounds)"
        )
    if found.figures:
        console.print("figures  the released figures follow from it and from the signed tables")
    return found.to_json()


def _sums(found: Recomputed) -> str:
    return "it" if len(found.sums) == 1 else "these sums by the study's robust rule"


def _which(wanted: str, session: Session, run: RunRow) -> tuple[str, int]:
    schedule = study_of(session, run).evaluations
    if wanted == "evaluation":
        return "evaluation", schedule.rounds
    after = wanted.removeprefix("evaluation-")
    if after != wanted and _is_number(after):
        number = schedule.number_after(int(after))
        if number is None:
            raise WorkspaceRefused(f"the study makes no evaluation after round {after}")
        return "evaluation", number
    if not _is_number(wanted):
        raise WorkspaceRefused(
            f"round {wanted!r}: give a training round's number, or evaluation, or evaluation-5 for "
            "the one after round 5"
        )
    return "training", int(wanted) - 1


def _is_number(wanted: str) -> bool:
    return wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 10**6
