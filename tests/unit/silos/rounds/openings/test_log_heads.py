"""A hospital takes part only under one history of the coordinator's log, and from its results."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.identity.roster import SigningKey
from protocol.log.entry import RESULT
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import LogProof, open_head
from protocol.secagg.messages import HeldHead, Origin, open_message
from protocol.secagg.server import SecAggServer, Step
from protocol.transport.steps import Reply
from protocol.vectors.tensors import Tensors, model_digest
from silos.rounds.openings.log_heads import MAX_FORKS, LogHeads
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.machine.short_form import short_form
from tests.unit.silos.rounds.test_participation import Attack

Spoil = Callable[[LogProof], LogProof | None]


def as_it_is(proof: LogProof) -> LogProof:
    return proof


class Hospital:
    """One hospital of four, asked by a coordinator that holds its key and may show any log."""

    def __init__(self, folder: Path) -> None:
        self.attack = Attack(folder)
        self.log = self.attack.log
        self.home = self.attack.east._database
        self.heads = LogHeads(self.home, self.attack.key.public)

    def context(
        self,
        number: int = 0,
        *,
        log: CoordinatorLog | None = None,
        model: Tensors | None = None,
        round_kind: str = "training",
        attempt: int = 0,
    ) -> RoundContext:
        """Returns a context under the newest head of a log, to which nothing is added."""
        head = (log or self.log).head
        context = replace(
            self.attack.context(0, model=model), round=number, attempt=attempt,
            log_size=head.size, log_root=head.root.hex(),
        )  # fmt: skip
        if round_kind == "evaluation":
            other = self.attack.context(2, "evaluation", model=model)
            context = replace(other, log_size=head.size, log_root=head.root.hex())
        return context

    def opened(
        self,
        context: RoundContext,
        *,
        log: CoordinatorLog | None = None,
        model: Tensors | None = None,
        spoil: Spoil = as_it_is,
        known: int | None = None,
    ) -> Reply:
        """Returns what the hospital answers to an opening."""
        shown = log or self.log
        held = self.attack.held("east") if known is None else known
        machine = SecAggServer(
            context=context,
            roster=self.attack.federation.roster,
            key=self.attack.key,
            log_proof=lambda _site: spoil(shown.proof(context, held)),
        )
        wire = machine.request(Step.ADVERTISE, "east")
        return self.attack.ask("east", Step.ADVERTISE, wire, model)

    @property
    def reason(self) -> str:
        return str(self.attack.east.reason("run-1"))


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def zeros(hospital: Hospital) -> Tensors:
    return {
        name: np.zeros_like(value) + np.float32(0)
        for name, value in hospital.attack.initial().items()
    }


def test_a_round_that_is_seen_first_begins_with_the_logs_last_result(hospital: Hospital) -> None:
    crafted, honest = zeros(hospital), hospital.attack.initial()
    honest = {name: value + np.float32(1) for name, value in honest.items()}
    hospital.log.append(RESULT, model_digest(honest), round=0)
    refused = hospital.opened(hospital.context(1, model=crafted), model=crafted)
    assert refused == Reply(refusal="PolicyRefused")
    assert "does not begin with the model that the log names" in hospital.reason
    assert hospital.opened(hospital.context(1, model=honest), model=honest).refusal is None


def test_so_does_the_evaluation(hospital: Hospital) -> None:
    crafted, honest = zeros(hospital), hospital.attack.initial()
    context = hospital.context(round_kind="evaluation", model=crafted)
    hospital.log.append(RESULT, model_digest(honest), round=1)
    context = replace(
        context, log_size=hospital.log.head.size, log_root=hospital.log.head.root.hex()
    )
    assert hospital.opened(context, model=crafted).refusal == "PolicyRefused"
    again = replace(context, model_hash=model_digest(honest))
    assert hospital.opened(again, model=honest).refusal is None


def test_a_round_whose_result_is_not_shown_is_refused(hospital: Hospital) -> None:
    assert hospital.opened(hospital.context(1)).refusal == "PolicyRefused"
    assert "does not show the result" in hospital.reason


@pytest.mark.parametrize(
    ("kind", "number", "run"),
    [("snapshot", 0, "run-1"), (RESULT, 1, "run-1"), (RESULT, 0, "run-2")],
)
def test_another_entry_than_the_result_of_the_round_before_is_refused(
    hospital: Hospital, kind: str, number: int, run: str
) -> None:
    hospital.log.run_id = run
    hospital.log.append(kind, model_digest(hospital.attack.initial()), round=number)

    def shows_it(proof: LogProof) -> LogProof:
        index = hospital.log.tree.size - 1
        path = hospital.log.tree.inclusion(index, hospital.log.tree.size)
        shown = hospital.log.entries[index].data
        from protocol.secagg.log_proof import LoggedResult

        return replace(proof, result=LoggedResult(index=index, entry=shown, path=path))

    assert hospital.opened(hospital.context(1), spoil=shows_it).refusal == "PolicyRefused"
    assert "another entry than the result" in hospital.reason


def test_a_result_that_does_not_stand_in_the_log_is_refused(hospital: Hospital) -> None:
    beside = hospital.log.fork()
    hospital.log.append("run-started")
    beside.append(RESULT, model_digest(hospital.attack.initial()), round=0)

    def shows_it(proof: LogProof) -> LogProof:
        return replace(proof, result=beside.result(0, 2))

    assert hospital.opened(hospital.context(1), spoil=shows_it).refusal == "MessageRefused"
    assert "is not under this root" in hospital.reason


def test_a_round_that_shows_nothing_of_the_log_is_refused(hospital: Hospital) -> None:
    reply = hospital.opened(hospital.context(), spoil=lambda _proof: None)
    assert reply.refusal == "PolicyRefused"
    assert "shows nothing of the coordinator's log" in hospital.reason


@pytest.mark.parametrize("other", ["key", "head"])
def test_a_note_of_another_key_or_head_is_refused(hospital: Hospital, other: str) -> None:
    stranger = CoordinatorLog(SigningKey.generate() if other == "key" else hospital.attack.key)
    stranger.append("run-started", "1" * 64)
    note = stranger.head.note
    reply = hospital.opened(hospital.context(), spoil=lambda proof: replace(proof, note=note))
    assert reply.refusal == "MessageRefused"
    assert hospital.heads.newest() is None


def test_the_head_is_durable_with_the_first_answer_and_not_before(hospital: Hospital) -> None:
    context = hospital.context()
    assert hospital.opened(replace(context, threshold=4)).refusal == "PolicyRefused"
    assert hospital.heads.newest() is None
    assert hospital.opened(context).refusal is None
    kept = hospital.heads.newest()
    assert kept is not None
    assert (kept.size, kept.root) == (hospital.log.head.size, hospital.log.head.root)
    assert open_head(kept.note, hospital.attack.key.public) == kept


def test_a_rewritten_log_is_refused_and_both_notes_are_kept(hospital: Hospital) -> None:
    early = hospital.log.fork()
    hospital.log.append("round-opened")
    hospital.log.append("round-opened")
    assert hospital.opened(hospital.context()).refusal is None
    for _ in range(3):
        early.append("run-failed")
    rewritten = hospital.context(log=early, attempt=1)
    assert hospital.opened(rewritten, log=early).refusal == "LogForked"
    assert "was not shown to agree with the 3 entries" in hospital.reason
    (fork,) = hospital.heads.forks()
    kept, other = (
        open_head(note, hospital.attack.key.public) for note in (fork.kept_note, fork.other_note)
    )
    assert (kept.size, other.size, fork.run) == (3, 4, "run-1")
    # Nor does it take part again when the history is shown that it knows.
    hospital.log.append("round-opened")
    assert hospital.opened(hospital.context(attempt=2)).refusal == "LogForked"
    assert "takes part in nothing under that log any more" in hospital.reason


def test_two_hospitals_that_are_shown_two_logs_hold_the_proof_together(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    one, two = hospital.log, hospital.log.fork()
    one.append("round-opened", "1" * 64)
    two.append("round-opened", "2" * 64)
    assert hospital.opened(hospital.context(log=one), log=one).refusal is None
    other = hospital.context(log=two, attempt=1)
    assert hospital.opened(other, log=two).refusal == "LogForked"
    assert "two roots of 2 leaves differ" in hospital.reason
    (fork,) = hospital.heads.forks()
    heads = {open_head(note, one.key.public).root for note in (fork.kept_note, fork.other_note)}
    assert heads == {one.head.root, two.head.root}  # one size, one key, two roots


def test_the_evidence_of_forks_is_bounded_and_kept_once(hospital: Hospital) -> None:
    assert hospital.opened(hospital.context()).refusal is None
    kept = hospital.heads.newest()
    assert kept is not None
    for number in range(MAX_FORKS + 5):
        other = replace(kept, note=b"note %d" % number)
        hospital.heads.keep_fork(kept, other, "run-1")
        hospital.heads.keep_fork(kept, other, "run-1")
    assert len(hospital.heads.forks()) == MAX_FORKS


def test_an_older_head_of_the_same_log_is_taken_and_the_newest_stays(hospital: Hospital) -> None:
    older = hospital.log.head
    for _ in range(4):
        hospital.log.append("round-opened")
    assert hospital.opened(hospital.context()).refusal is None
    late = replace(
        hospital.context(attempt=1), log_size=older.size, log_root=older.root.hex()
    )  # of a run beside this one, opened after it
    assert hospital.opened(late).refusal is None
    newest = hospital.heads.newest()
    assert newest is not None
    assert newest.size == 5


@pytest.mark.parametrize("claimed", short_form([0, 2, 4, 9], 2))
def test_a_proof_from_another_head_is_answered_by_what_is_held(
    hospital: Hospital, claimed: int
) -> None:
    hospital.log.append("round-opened")
    hospital.log.append("round-opened")
    assert hospital.opened(hospital.context()).refusal is None
    for _ in range(9):
        hospital.log.append("round-opened")
    context = hospital.context(attempt=1)
    reply = hospital.opened(context, known=claimed)
    key = hospital.attack.federation.roster.key_of("east")
    origin = Origin(sender="east", public=key, context=context.digest)
    held = open_message(reply.message, HeldHead, origin)
    assert (held.size, held.root) == (3, hospital.log.heads[3].root.hex())
    assert hospital.opened(context, known=held.size).refusal is None


def test_a_hospital_without_a_head_says_so(hospital: Hospital) -> None:
    hospital.log.append("round-opened")
    context = hospital.context()
    reply = hospital.opened(context, known=1)
    key = hospital.attack.federation.roster.key_of("east")
    origin = Origin(sender="east", public=key, context=context.digest)
    assert open_message(reply.message, HeldHead, origin).size == 0


def test_what_is_kept_is_signed_in_the_hospitals_word(hospital: Hospital) -> None:
    from protocol.transport.privacy_summary import open_summary

    assert hospital.opened(hospital.context()).refusal is None
    word = hospital.attack.east.signed_summary("run-1")
    summary = open_summary(word, hospital.attack.federation.roster.key_of("east"))
    assert (summary.log_size, summary.log_root) == (1, hospital.log.head.root.hex())
