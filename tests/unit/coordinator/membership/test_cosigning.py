"""The coordinator collects cosignatures: a quorum, heads that move, records, outside witnesses."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from compliance.audit.log import NewEntry
from compliance.audit.policy_file import read_witness_policy
from compliance.audit.witness import WitnessState, add_log, make_folder, serving
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records, verify_records
from coordinator.database.log.cosignatures import (
    CosignaturesRow,
    all_cosignatures,
    keep_cosignatures,
    newest_cosignatures,
)
from coordinator.database.store import RoundRow, logged_entries, newest_head
from coordinator.membership.cosigning import HeadCosigning, submit_newest
from coordinator.membership.log_proofs import LogProofs
from coordinator.membership.witnesses import PolicyWitnesses
from coordinator.views.subjects import clocks_of
from protocol.encoding import parse_canonical
from protocol.errors import QuorumLost, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import (
    Ed25519Cosigner,
    KeyType,
    VerifierKey,
    cosigned_lines,
    cosigning_site,
)
from protocol.log.signed_note import log_origin, split_note
from protocol.log.witness_policy import PolicyWitness, WitnessPolicy, parse_policy
from protocol.secagg.log_proof import LogProof
from protocol.transport.steps import COSIGN, Reply, Request
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path, small_study())
    yield made
    made.close()


def cosigning(federation: Federation, witnesses: PolicyWitnesses | None = None) -> HeadCosigning:
    return HeadCosigning(
        run_id=federation.run_id,
        study=federation.study,
        roster=federation.roster,
        store=federation.store,
        signer=federation.workspace.signing_key(),
        proofs=LogProofs(federation.store, federation.run_id, federation.study, {}),
        link=federation.link,
        timeout=5.0,
        witnesses=witnesses,
    )


def logged_more(federation: Federation) -> None:
    with federation.store.transaction() as transaction:
        entry = NewEntry(type="run-started", run_id=None, payload="0" * 64)
        transaction.log([entry], federation.workspace.signing_key())


def sizes(federation: Federation) -> dict[int, list[str]]:
    with federation.store.read() as session:
        return {
            row.size: [line.name.rpartition("/")[2] for line in row.signatures]
            for row in all_cosignatures(session)
        }


def test_every_round_is_opened_under_a_head_that_all_hospitals_have_cosigned(
    federation: Federation,
) -> None:
    federation.run()
    with federation.store.read() as session:
        contexts = session.scalars(select(RoundRow.context_json)).all()
        found = verify_records(session, federation.workspace.public_key())
        newest = newest_cosignatures(session)
    named = [parse_canonical(text.encode())["log_size"] for text in contexts]  # type: ignore[index,call-overload]
    assert sizes(federation) == dict.fromkeys(named, ["east", "north", "south", "west"])
    assert {cosigning_site(one.name): one.size for one in newest} == dict.fromkeys(
        federation.silos, max(named)
    )
    assert found.cosigned.newest_met(found.cosigned.newest, 3) == max(named)
    assert found.cosigned.unknown == frozenset()


def test_an_opening_carries_the_cosignatures_of_a_quorum_and_no_more(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[LogProof] = []
    honest = LogProofs.proof

    def seen(self: LogProofs, site: str, context: Any) -> LogProof:
        shown.append(honest(self, site, context))
        return shown[-1]

    monkeypatch.setattr(LogProofs, "proof", seen)
    federation.run()
    for proof in shown:
        _, lines = split_note(proof.note)
        assert len([line for line in lines if cosigning_site(line.name)]) == 3


@pytest.mark.parametrize("out", [1, 2])
def test_a_round_needs_as_many_cosigners_as_answers(federation: Federation, out: int) -> None:
    silent = sorted(federation.silos)[:out]
    federation.link.lost = lambda site, request: request.step == COSIGN and site in silent
    if out == 1:
        federation.run()
        assert all(len(survivors) == 4 for _, _, survivors in federation.watch.rounds)
        return
    with pytest.raises(QuorumLost, match="2 of 4 hospitals have cosigned .* 3 must"):
        federation.run()
    with federation.store.read() as session:
        assert session.scalars(select(RoundRow)).all() == []  # no attempt was begun


def test_a_hospital_that_was_silent_once_is_asked_again(federation: Federation) -> None:
    silent: list[str] = []

    def lost(site: str, request: Request) -> bool:
        first = request.step == COSIGN and site in ("east", "north") and silent.count(site) < 1
        silent.extend([site] if first else [])
        return first

    federation.link.lost = lost
    federation.run()
    assert len(federation.watch.rounds) == 3


def test_who_refuses_is_named_with_the_class_of_its_refusal(federation: Federation) -> None:
    summaries = federation.join()
    assert len(summaries) == 4
    logged_more(federation)

    class Refusing:
        def exchange(self, requests: dict[str, Request], timeout: float) -> Iterator[Any]:
            del timeout
            for site in requests:
                yield site, Reply(refusal="LogForked" if site == "east" else "StoreBroken")

    federation.link = Refusing()  # type: ignore[assignment]
    with pytest.raises(QuorumLost, match="east: LogForked; north: StoreBroken"):
        cosigning(federation).head()


@pytest.mark.parametrize(
    "answer", [b"", b"\xff", b"12", b"99999999999999999999\n", "— a AAAAAAAA\n".encode()]
)
def test_an_answer_that_is_no_cosignature_counts_for_nothing(
    federation: Federation, answer: bytes
) -> None:
    federation.join()
    logged_more(federation)
    honest = federation.link.exchange

    def spoilt(requests: dict[str, Request], timeout: float) -> Iterator[tuple[str, Reply]]:
        for site, reply in honest(requests, timeout):
            yield site, Reply(message=answer) if site == "east" else reply

    federation.link.exchange = spoilt  # type: ignore[method-assign, assignment]
    cosigning(federation).head()
    assert set(sizes(federation)[1]) == {"north", "south", "west"}


def test_a_signature_of_another_hospital_is_not_taken_for_its_own(federation: Federation) -> None:
    federation.join()
    logged_more(federation)
    honest, kept = federation.link.exchange, dict[str, Reply]()

    def swapped(requests: dict[str, Request], timeout: float) -> Iterator[tuple[str, Reply]]:
        kept.update(honest(requests, timeout))
        for site in requests:
            yield site, kept["west" if site == "east" else site]

    federation.link.exchange = swapped  # type: ignore[method-assign, assignment]
    cosigning(federation).head()
    assert set(sizes(federation)[1]) == {"north", "south", "west"}


def test_a_head_that_another_run_brought_meanwhile_is_cosigned_in_its_place(
    federation: Federation,
) -> None:
    federation.join()
    logged_more(federation)
    other = cosigning(federation)
    done: list[int] = []

    def other_run_is_faster(site: str, request: Request) -> bool:
        if site == "east" and not done:
            done.append(1)
            logged_more(federation)
            other.head()  # every hospital now holds a newer head
        return False

    federation.link.lost = other_run_is_faster
    size, _ = cosigning(federation).head()
    assert size > 1
    assert len(sizes(federation)[size]) == 4


def test_a_missing_cosignature_is_a_fault_of_the_round(federation: Federation) -> None:
    federation.run()
    with federation.store.transaction() as transaction:
        row = all_cosignatures(transaction.session)[0]
        first, second, *_ = row.signatures
        row.lines = first.text + second.text
        entry = NewEntry(
            type="cosigned", run_id=None, payload="0" * 64, record=transaction.write(row)
        )
        transaction.log([entry], federation.workspace.signing_key())  # with the log's own key
    with federation.store.read() as session:
        with pytest.raises(StoreBroken, match="2 of 4 hospitals have cosigned"):
            verify_records(session, federation.workspace.public_key())


def test_a_forged_cosignature_is_found(federation: Federation) -> None:
    federation.run()
    with federation.store.transaction() as transaction:
        row = transaction.session.scalars(select(CosignaturesRow)).first()
        assert row is not None
        forger = Ed25519Cosigner.of_site("east", federation.silos["east"]._keys.own)
        row.lines = forger.cosign("another text\n", 7).text
        entry = NewEntry(
            type="cosigned", run_id=None, payload="0" * 64, record=transaction.write(row)
        )
        transaction.log([entry], federation.workspace.signing_key())
    with federation.store.read() as session:
        with pytest.raises(StoreBroken, match="a cosignature of the head of .* is wrong"):
            verify_records(session, federation.workspace.public_key())


# --- witnesses outside the consortium --------------------------------------------------------


@contextmanager
def outside(folder: Path, federation: Federation, *names: str) -> Iterator[dict[str, Any]]:
    """Yields, by name, the policy lines of witnesses that are at work over HTTP."""
    public = federation.workspace.public_key()
    log = VerifierKey(name=log_origin(public), type=KeyType.ED25519, public=public)
    with ExitStack() as stack:
        made = {}
        for name in names:
            witness = add_log(make_folder(folder / name, f"{name}.example"), log.text)
            port = stack.enter_context(serving(witness.service, "127.0.0.1", 0))
            made[name] = [
                PolicyWitness(name=f"{name}{place}", key=one.key, url=f"http://127.0.0.1:{port}")
                for place, one in enumerate(witness.cosigners)
            ]
        yield made


def policy_of(*witnesses: PolicyWitness, quorum: str = "none") -> PolicyWitnesses:
    return PolicyWitnesses(WitnessPolicy(witnesses=witnesses, quorum=quorum), seconds=5.0)


def test_a_run_is_cosigned_by_witnesses_outside_with_both_kinds_of_key(
    tmp_path: Path, federation: Federation
) -> None:
    federation.join()
    logged_more(federation)
    with outside(tmp_path, federation, "ethics") as made:
        cosigner = cosigning(federation, policy_of(*made["ethics"], quorum="ethics1"))
        for _ in range(3):
            cosigner.head()
            logged_more(federation)
        assert all(names[4:] == ["ethics.example"] * 2 for names in sizes(federation).values())
        state = WitnessState(tmp_path / "ethics" / "witness.db")
        newest = state.newest(log_origin(federation.workspace.public_key()))
        assert newest is not None
        assert newest.size == max(sizes(federation))


def test_a_witness_that_is_down_holds_nothing_up_where_the_quorum_does_not_need_it(
    tmp_path: Path, federation: Federation
) -> None:
    federation.join()
    logged_more(federation)
    dead = PolicyWitness(
        name="dead", key=Ed25519Cosigner("d.example", SigningKey.generate()).key,
        url="http://127.0.0.1:9",
    )  # fmt: skip
    with outside(tmp_path, federation, "ethics") as made:
        cosigning(federation, policy_of(dead, *made["ethics"], quorum="ethics0")).head()
        assert len(sizes(federation)[1]) == 6
        with pytest.raises(QuorumLost, match="not cosigned by dead"):
            cosigning(federation, policy_of(dead, *made["ethics"], quorum="dead")).head()


def test_a_witness_that_knows_more_is_answered_from_its_size(
    tmp_path: Path, federation: Federation
) -> None:
    """As after a restart of the coordinator, which then asks from nothing."""
    federation.join()
    logged_more(federation)
    with outside(tmp_path, federation, "ethics") as made:
        for _ in range(3):
            cosigning(federation, policy_of(*made["ethics"], quorum="ethics0")).head()
            logged_more(federation)
    assert all(len(names) == 6 for names in sizes(federation).values())


def test_what_is_logged_between_runs_is_cosigned_once_by_witnesses_outside(
    tmp_path: Path, federation: Federation
) -> None:
    key = federation.workspace.signing_key()
    logged_more(federation)
    with outside(tmp_path, federation, "ethics") as made:
        witnesses = policy_of(*made["ethics"], quorum="ethics0")
        assert submit_newest(federation.store, key, witnesses) == 2
        assert submit_newest(federation.store, key, witnesses) == 0  # nothing is new
        logged_more(federation)
        logged_more(federation)
        assert submit_newest(federation.store, key, policy_of(*made["ethics"])) == 2
    assert [len(names) for names in sizes(federation).values()] == [2, 2]
    faults = Faults()
    with federation.store.read() as session:
        check_records(session, key.public, faults, [one.key for one in made["ethics"]])
    assert not faults.found


@pytest.mark.parametrize(("off", "told"), [(3600, 3600), (-3600, -3600), (200, None)])
def test_a_cosigner_whose_clock_is_an_hour_off_is_a_fact_for_reports(
    federation: Federation, off: int, told: int | None
) -> None:
    key, cosigner = (
        federation.workspace.signing_key(),
        Ed25519Cosigner("ethics", SigningKey.generate()),
    )
    logged_more(federation)
    with federation.store.transaction() as transaction:
        head = newest_head(transaction.session)
        assert head is not None
        line = cosigner.cosign(split_note(head.note)[0], int(time.time()) + off)
        made = cosigned_lines(split_note(head.note)[0], [line], [cosigner.key])
        keep_cosignatures(transaction, head.size, made, key)
    with federation.store.read() as session:
        found = dict(clocks_of(session, logged_entries(session)))
    assert bool(found) == (told is not None)
    if told is not None:
        assert abs(found["ethics"] - told) < 60


def test_a_log_that_was_rewritten_gets_no_cosignature_from_outside(
    tmp_path: Path, federation: Federation
) -> None:
    public = federation.workspace.public_key()
    federation.join()
    logged_more(federation)
    with outside(tmp_path, federation, "ethics") as made:
        cosigning(federation, policy_of(*made["ethics"], quorum="ethics0")).head()
        other = Federation(_made(tmp_path / "other"), federation.study)
        other.workspace.signing_key = federation.workspace.signing_key  # type: ignore[method-assign]
        key = other.workspace.signing_key()
        with other.store.transaction() as transaction:
            entries = [NewEntry(type="run-failed", run_id=None, payload="0" * 64) for _ in range(5)]
            transaction.log(entries, key)
        proofs = LogProofs(other.store, "run-1", other.study, {})
        found = policy_of(*made["ethics"]).cosign(
            proofs.newest(), lambda size: proofs.extension(size, 5)
        )
        assert found == []
        other.close()
    state = WitnessState(tmp_path / "ethics" / "witness.db")
    (one,) = state.contradictions()
    assert one.origin == log_origin(public)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "answer",
    [
        lambda http: http(200, b"nonsense\n"),
        lambda http: http(200, b"x" * (1 << 17)),
        lambda http: http(409, b"0\n"),
        lambda http: http(409, b"many\n"),
        lambda http: http(409, b"999\n"),
        lambda http: http(302, b""),
        lambda http: http(500, b"\xff"),
    ],
)
def test_a_hostile_witness_is_only_left_out(
    federation: Federation, answer: Callable[[Callable[[int, bytes], bytes]], bytes]
) -> None:
    import socket
    import threading

    def http(status: int, body: bytes) -> bytes:
        length = f"HTTP/1.1 {status} x\r\nlocation: /\r\ncontent-length: {len(body)}\r\n"
        return length.encode() + b"connection: close\r\n\r\n" + body

    federation.join()
    logged_more(federation)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                received = b""
                while b"\r\n\r\n" not in received or not received.endswith(b"\n"):
                    received += line.recv(1 << 16)
                line.sendall(answer(http))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        key = Ed25519Cosigner("w.example", SigningKey.generate()).key
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        witness = PolicyWitness(name="w", key=key, url=url)
        cosigning(federation, policy_of(witness)).head()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
    assert len(sizes(federation)[1]) == 4


def test_a_policy_of_another_log_is_refused_at_the_start(tmp_path: Path) -> None:
    own, other = SigningKey.generate().public, SigningKey.generate().public
    key = VerifierKey(name=log_origin(other), type=KeyType.ED25519, public=other)
    path = tmp_path / "policy"
    path.write_text(f"log {key.text}\nquorum none\n")
    assert read_witness_policy(path, other) == parse_policy(path.read_bytes())
    with pytest.raises(WorkspaceRefused, match="names other logs"):
        read_witness_policy(path, own)
    path.write_text("quorum w\n")
    with pytest.raises(WorkspaceRefused, match="cannot be used"):
        read_witness_policy(path, own)
    with pytest.raises(WorkspaceRefused, match="cannot be read"):
        read_witness_policy(tmp_path / "missing", own)
