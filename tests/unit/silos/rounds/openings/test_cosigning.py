"""A hospital as a witness: what it cosigns, keeps first, refuses for good, and demands."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import LogForked, OutOfOrder
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Ed25519Cosigner, cosignatures, cosigned_lines, site_cosigner
from protocol.log.entry import FAILED, INTERRUPTED, MASKED
from protocol.log.merkle import leaf_hash, verify_inclusion
from protocol.log.signed_note import parse_lines, split_note
from protocol.log.tlog_proof import parse_tlog_proof
from protocol.log.witness import WitnessRequest, split_event
from protocol.log.witness_policy import WitnessPolicy, parse_policy
from protocol.secagg.log_proof import LoggedResult, LogProof, open_head
from protocol.transport.steps import COSIGN, Reply, Request
from silos.rounds.openings.log_heads import LogHeads
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study
from tests.unit.silos.rounds.openings.test_log_heads import Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def asked(hospital: Hospital, log: CoordinatorLog, old: int | None = None) -> Reply:
    """Returns what the hospital answers to a request to cosign the newest head of a log."""
    old = hospital.attack.held("east") if old is None else old
    size = log.head.size
    proof = log.tree.consistency(old, size) if 0 < old <= size else ()
    request = WitnessRequest(old=old, proof=proof, note=log.head.note)
    return answered(hospital, request.to_bytes)


def answered(hospital: Hospital, message: bytes) -> Reply:
    return hospital.attack.east.answer(Request(run_id="run-1", step=COSIGN, message=message))


def cosigned(hospital: Hospital, log: CoordinatorLog, reply: Reply) -> int:
    """Returns how many cosignatures of this hospital an answer holds over the newest head."""
    text, _ = split_note(log.head.note)
    key = hospital.attack.federation.roster.key_of("east")
    lines = parse_lines(split_event(reply.message)[0])
    return len(cosigned_lines(text, lines, [site_cosigner("east", key)]))


def test_a_head_that_extends_the_kept_one_is_kept_and_cosigned(hospital: Hospital) -> None:
    for _ in range(3):
        assert cosigned(hospital, hospital.log, asked(hospital, hospital.log)) == 1
        newest = hospital.heads.newest()
        assert newest is not None
        assert newest.size == hospital.log.head.size
        hospital.log.append("round-opened")


def test_whoever_asks_from_another_size_is_told_the_one_that_is_held(hospital: Hospital) -> None:
    asked(hospital, hospital.log)
    for _ in range(4):
        hospital.log.append("round-opened")
    assert asked(hospital, hospital.log, old=0) == Reply(message=b"1\n")
    assert asked(hospital, hospital.log, old=3) == Reply(message=b"1\n")
    assert cosigned(hospital, hospital.log, asked(hospital, hospital.log, old=1)) == 1


def test_the_same_head_is_cosigned_again(hospital: Hospital) -> None:
    for _ in range(2):
        assert cosigned(hospital, hospital.log, asked(hospital, hospital.log)) == 1
    assert len(hospital.heads.all()) == 1


def test_another_history_is_refused_for_good_and_both_notes_are_kept(hospital: Hospital) -> None:
    other = hospital.log.fork()
    hospital.log.append("round-opened", "1" * 64)
    other.append("round-opened", "2" * 64)
    assert asked(hospital, hospital.log).refusal is None
    assert asked(hospital, other) == Reply(refusal="LogForked")
    (fork,) = hospital.heads.forks()
    roots = {open_head(note, other.key.public).root for note in (fork.kept_note, fork.other_note)}
    assert roots == {hospital.log.head.root, other.head.root}
    hospital.log.append("round-opened")
    assert asked(hospital, hospital.log) == Reply(refusal="LogForked")
    assert hospital.opened(hospital.context()).refusal == "LogForked"
    assert "takes part in nothing under that log any more" in hospital.reason
    with pytest.raises(LogForked):
        hospital.attack.east.join(hospital.attack.federation.invitation_of("run-2"))


@pytest.mark.parametrize("spoil", ["another key", "no note", "another log's form"])
def test_what_the_log_has_not_signed_is_refused_and_is_no_evidence(
    hospital: Hospital, spoil: str
) -> None:
    stranger = CoordinatorLog(SigningKey.generate())
    message = {
        "another key": WitnessRequest(old=0, proof=(), note=stranger.head.note).to_bytes,
        "no note": b"old 0\n\nnote\n",
        "another log's form": b"old 0",
    }[spoil]
    assert answered(hospital, message) == Reply(refusal="MessageRefused")
    assert hospital.heads.forks() == ()
    assert hospital.heads.newest() is None


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["before it is kept", "after it is kept"])
def test_a_hospital_killed_at_any_step_cosigns_one_history(
    hospital: Hospital, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = hospital.log.fork()
    hospital.log.append("round-opened", "1" * 64)
    fork.append("round-opened", "2" * 64)

    def dies(*_: object, **__: object) -> None:
        raise Killed

    where = LogHeads if step == "before it is kept" else Ed25519Cosigner
    with monkeypatch.context() as killed:
        killed.setattr(where, "keep_instead" if where is LogHeads else "cosign", dies)
        assert asked(hospital, hospital.log).refusal == "FederationError"
    again = asked(hospital, fork)
    if step == "before it is kept":  # it has signed nothing, and may cosign either history, once
        assert cosigned(hospital, fork, again) == 1
        assert asked(hospital, hospital.log).refusal == "LogForked"
    else:
        assert again.refusal == "LogForked"


def test_a_head_is_kept_only_where_the_compared_one_is_still_the_newest(hospital: Hospital) -> None:
    first = open_head(hospital.log.head.note, hospital.log.key.public)
    second = open_head(hospital.log.append("round-opened").note, hospital.log.key.public)
    hospital.heads.keep_instead(first, None)
    with pytest.raises(OutOfOrder, match="another head was kept"):
        hospital.heads.keep_instead(second, None)
    hospital.heads.keep_instead(second, first)
    assert hospital.heads.newest() == second


@pytest.mark.parametrize("count", [0, 2])
def test_a_round_whose_head_too_few_have_cosigned_is_refused(
    hospital: Hospital, count: int
) -> None:
    hospital.log.cosigners = hospital.log.cosigners[:count]
    assert hospital.opened(hospital.context()).refusal == "PolicyRefused"
    assert f"{count} of 4 hospitals have cosigned" in hospital.reason
    assert "3 must" in hospital.reason


def test_no_hospital_counts_twice_and_no_stranger_counts(hospital: Hospital) -> None:
    east, *_ = hospital.log.cosigners
    strangers = [Ed25519Cosigner.of_site(name, SigningKey.generate()) for name in ("east", "west")]
    hospital.log.cosigners = [east, east, *strangers]
    assert hospital.opened(hospital.context()).refusal == "PolicyRefused"
    assert "1 of 4 hospitals have cosigned" in hospital.reason


def test_a_wrong_cosignature_spoils_the_opening(hospital: Hospital) -> None:
    def spoilt(proof: LogProof) -> LogProof:
        text, lines = split_note(proof.note)
        other, _ = split_note(hospital.log.append("run-failed").note)
        line = hospital.log.cosigners[0].cosign(other, 7).text
        return replace(proof, note=proof.note + line.encode())

    assert hospital.opened(hospital.context(), spoil=spoilt).refusal == "MessageRefused"


def test_the_cosigned_note_is_kept_for_auditors(hospital: Hospital) -> None:
    assert hospital.heads.newest_cosigned() is None
    assert hospital.opened(hospital.context()).refusal is None
    note = hospital.heads.newest_cosigned()
    assert note is not None
    assert len(cosignatures(note, [one.key for one in hospital.log.cosigners])) == 4


def test_a_hospitals_own_policy_must_be_met_too(hospital: Hospital) -> None:
    outside = Ed25519Cosigner("witness.example.org/w1", SigningKey.generate())
    text = f"witness w1 {outside.key.text}\nquorum w1\n"
    participation = hospital.attack.east._joined("run-1")
    participation.witnesses = parse_policy(text.encode())
    assert hospital.opened(hospital.context()).refusal == "PolicyRefused"
    assert "w1 have not cosigned it; this hospital's site file asks for it" in hospital.reason
    hospital.log.cosigners = [*hospital.log.cosigners, outside]
    assert hospital.opened(hospital.context(attempt=1)).refusal is None
    participation.witnesses = WitnessPolicy()
    assert hospital.opened(hospital.context(attempt=2)).refusal is None


# --- what a hospital sent must be in the log -------------------------------------------------


def test_each_hospital_keeps_the_proofs_of_what_it_sent(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    for site, silo in federation.silos.items():
        heads = LogHeads(silo._database, federation.workspace.public_key())
        proofs = [parse_tlog_proof(proof) for proof in heads.own_events()]
        assert len(proofs) == 2  # of two training rounds; no opening follows the evaluation
        for proof in proofs:
            head = open_head(proof.note, federation.workspace.public_key())
            assert proof.extra is not None
            leaf = leaf_hash(proof.extra)
            verify_inclusion(leaf, proof.index, head.size, proof.path, head.root)
            assert f'"type":"{MASKED}"'.encode() in proof.extra
            keys = [site_cosigner(s, federation.roster.key_of(s)) for s in federation.silos]
            assert len(cosignatures(proof.note, keys)) == federation.study.threshold, site


@pytest.mark.parametrize("shown", ["nothing", "another entry", "another path"])
def test_a_coordinator_that_drops_what_a_hospital_sent_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    from coordinator.membership.log_proofs import LogProofs

    honest = LogProofs.proof

    def drops(self: LogProofs, site: str, context: object) -> LogProof:
        proof = honest(self, site, context)  # type: ignore[arg-type]
        if site != "east" or proof.own is None:
            return proof
        own: LoggedResult | None = {
            "nothing": None,
            "another entry": proof.result,
            "another path": replace(proof.own, index=proof.own.index - 1),
        }[shown]
        return replace(proof, own=own)

    monkeypatch.setattr(LogProofs, "proof", drops)
    federation = Federation(tmp_path, small_study())
    federation.run()
    first, second, last = [survivors for _, _, survivors in federation.watch.rounds]
    assert "east" in first
    assert "east" not in second
    reason = str(federation.silos["east"].reason("run-1"))
    assert "what this hospital sent in round" in reason
    assert {"north", "south", "west"} <= set(second) & set(last)


def test_an_interruption_since_excuses_what_is_missing_and_an_older_one_does_not(
    hospital: Hospital,
) -> None:
    from protocol.errors import EventMissing
    from protocol.secagg.log_proof import SentEvent, verify_own_event

    log = hospital.log
    early = log.append(FAILED, INTERRUPTED, round=0, attempt=0)
    sent = SentEvent(context=hospital.context(), message="5" * 64)
    log.append(FAILED, INTERRUPTED, round=0, attempt=1)
    context = hospital.context(attempt=2)

    def proof(index: int) -> LogProof:
        entry = log.entries[index]
        path = log.tree.inclusion(index, context.log_size)
        own = LoggedResult(index=index, entry=entry.data, path=path)
        return replace(log.proof(context), own=own)

    assert verify_own_event(proof(early.size), context, sent).index == early.size
    with pytest.raises(EventMissing, match="another entry in place of"):
        verify_own_event(proof(early.size - 1), context, sent)
    with pytest.raises(EventMissing, match="not shown to hold"):
        verify_own_event(log.proof(context), context, sent)
