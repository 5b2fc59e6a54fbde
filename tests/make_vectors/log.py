"""What a hospital is shown of the coordinator's log: one log of nine entries, and false proofs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from protocol.codec import to_json
from protocol.identity.roster import SigningKey
from protocol.log.entry import RESULT
from protocol.secagg.log_proof import LoggedResult, LogProof
from protocol.study.rounds.course import COURSE, Course, EvaluatedModel
from tests.make_vectors.recorded_round import Recorded
from tests.make_vectors.sheet import Sheet
from tests.support.hospital.coordinator_log import CoordinatorLog

MODELS = ["1" * 64, "2" * 64]


def log_of(key: SigningKey) -> CoordinatorLog:
    """Returns the log of a run with two finished rounds: results are its entries 3 and 7."""
    log = CoordinatorLog(key)
    log.append("round-opened", "a" * 64, round=0, attempt=0)
    log.append("sum", "b" * 64, round=0, attempt=0)
    log.append(RESULT, MODELS[0], round=0, attempt=0)
    log.append("round-opened", "c" * 64, round=1, attempt=0)
    log.append("round-failed", "d" * 64, round=1, attempt=0)
    log.append("round-opened", "e" * 64, round=1, attempt=1)
    log.append(RESULT, MODELS[1], round=1, attempt=1)
    log.append("round-opened", "f" * 64, round=2, attempt=0)
    return log


def log_sheet(recorded: Recorded) -> Sheet:
    """Proofs from several kept heads, and every way not to be one."""
    key = SigningKey.from_bytes(b"\7" * 32)
    log = log_of(key)
    base: dict[str, Any] = to_json(recorded.context) | {"run_id": "run-1"}
    sheet = Sheet(
        "The head of a log, the proof that it extends a kept one, and the last result.",
        given={
            "public": key.public.hex(),
            "context": base,
            "entries": [entry.data.decode() for entry in log.entries],
        },
    )

    def context(number: int, size: int = 9) -> Any:
        head = log.heads[size]
        changes = {"round": number, "log_size": size, "log_root": head.root.hex()}
        if number:
            changes["model_hash"] = MODELS[number - 1]
        return replace(recorded.context, run_id="run-1", **changes)

    def given(ctx: Any, proof: LogProof, kept: int) -> dict[str, Any]:
        changed = {n: v for n, v in to_json(ctx).items() if v != base[n]}
        head = log.heads.get(kept)
        known = None if head is None else {"size": head.size, "root": head.root.hex()}
        return {"changes": changed, "proof": to_json(proof), "kept": known}

    for kept in (0, 1, 3, 4, 8, 9):
        ctx = context(2)
        sheet.good(f"kept {kept} of 9", "log_proof", **given(ctx, log.proof(ctx, kept), kept))
    ctx = context(0, 2)
    sheet.good("a first round, no result", "log_proof", **given(ctx, log.proof(ctx, 0), 0))
    ctx = context(1, 6)
    sheet.good("an older head, kept 9", "log_proof", **given(ctx, log.proof(ctx, 9), 9))

    ctx = context(2)
    true = log.proof(ctx, 4)

    def bad(name: str, kind: str, because: str, proof: LogProof, kept: int = 4) -> None:
        sheet.bad(name, "log_proof", kind, because, **given(ctx, proof, kept))

    stranger = log_of(SigningKey.from_bytes(b"\10" * 32))
    forked = log.fork()
    longer = (*true.consistency, bytes(32))
    first = log.result(0, 9)
    result = true.result
    if first is None or result is None:
        raise RuntimeError("the log has two results")
    bad("another key's note", "MessageRefused", "is not signed by",
        replace(true, note=stranger.head.note))  # fmt: skip
    bad("another head's note", "MessageRefused", "is not the one that the context names",
        replace(true, note=log.heads[8].note))  # fmt: skip
    bad("another kept head", "LogForked", "was not shown to agree", true, 3)
    bad("a proof that is too short", "LogForked", "too short",
        replace(true, consistency=true.consistency[:-1]))  # fmt: skip
    bad("a proof that is too long", "LogForked", "too long", replace(true, consistency=longer))
    bad("no result", "PolicyRefused", "does not show the result", replace(true, result=None))
    bad("the result of the round before", "PolicyRefused", "another entry than the result",
        replace(true, result=first))  # fmt: skip
    bad("a result at another place", "MessageRefused", "leaf 6 is not under this root",
        replace(true, result=replace(result, index=6)))  # fmt: skip
    bad("a path that is too short", "MessageRefused", "inclusion proof is too short",
        replace(true, result=replace(result, path=result.path[:-1])))  # fmt: skip
    forked.append(RESULT, "3" * 64, round=1, attempt=2)
    newest = forked.result(1, 10)
    if newest is not None:
        bad("a result that names another model", "PolicyRefused", "does not begin with the model",
            replace(true, result=newest))  # fmt: skip
    _course(sheet, given, context)
    return sheet


def _course(sheet: Sheet, given: Callable[..., dict[str, Any]], context: Any) -> None:
    """A round after an evaluation that took two rounds back, and false courses."""
    better = EvaluatedModel(rounds=2, model=MODELS[0], figure=800_000)
    worse = EvaluatedModel(rounds=4, model=MODELS[1], figure=740_000)
    course, other = Course(evaluations=(better, worse)), Course(evaluations=(worse,))
    log = log_of(SigningKey.from_bytes(b"\7" * 32))
    log.append(COURSE, course.digest, round=12, attempt=0)
    log.append(COURSE, other.digest, round=12, attempt=1)
    keys = {"evaluation": {"every": 2, "roll_back": 50}}

    def shown(place: int, of: Course, **changes: Any) -> tuple[Any, LogProof]:
        at = replace(
            context(0), round=4, log_size=11, log_root=log.head.root.hex(),
            **({"model_hash": MODELS[0]} | changes),
        )  # fmt: skip
        entry = log.entries[place]
        result = LoggedResult(index=place, entry=entry.data, path=log.tree.inclusion(place, 11))
        return at, replace(log.proof(at, 0), result=result, course=of.canonical_bytes)

    def tell(name: str, at: Any, proof: LogProof, because: str = "", kind: str = "") -> None:
        more = {**given(at, proof, 0), **keys}
        if because:
            sheet.bad(name, "log_proof", kind, because, **more)
        else:
            sheet.good(name, "log_proof", **more)

    at, true = shown(9, course)
    tell("two rounds were taken back", at, true)
    tell("the model that was taken back", *shown(9, course, model_hash=MODELS[1]),
         "from which the run's course goes on", "PolicyRefused")  # fmt: skip
    tell("no course", at, replace(true, course=None), "does not show the course", "PolicyRefused")
    tell("another course than the log's", *shown(9, other), "not the one that the log names",
         "PolicyRefused")  # fmt: skip
    tell("a course without an evaluation", *shown(10, other, model_hash=MODELS[1]),
         "not of the evaluations that its study names", "MessageRefused")  # fmt: skip
    tell("a result in place of the course", *shown(7, course), "another entry than the result",
         "PolicyRefused")  # fmt: skip
