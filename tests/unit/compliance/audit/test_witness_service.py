"""A witness outside the consortium: over HTTP, killed at any step, asked by two at once."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from compliance.audit.witness import (
    WitnessService,
    WitnessState,
    add_log,
    make_folder,
    open_folder,
    serving,
)
from compliance.audit.witness.service import SIZE_TYPE
from compliance.audit.witness.state import MAX_CONTRADICTIONS
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import (
    Cosigner,
    Ed25519Cosigner,
    KeyType,
    MlDsaCosigner,
    VerifierKey,
    cosigned_lines,
)
from protocol.log.merkle import leaf_hash
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import SignatureLine, checkpoint_text, parse_lines, sign_note
from protocol.log.witness import HeadToCosign, WitnessRequest
from tests.support.machine.plain_http import NO_TLS

ORIGIN, NAME = "example.org/log", "witness.example.org/w1"
KEY, OTHER = SigningKey.from_bytes(bytes(32)), SigningKey.from_bytes(b"o" * 32)
LOG = VerifierKey(name=ORIGIN, type=KeyType.ED25519, public=KEY.public)
COSIGNERS: tuple[Cosigner, ...] = (
    Ed25519Cosigner(NAME, SigningKey.from_bytes(b"w" * 32)),
    MlDsaCosigner(NAME, b"q" * 32),
)
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def tree(size: int, salt: bytes = b"") -> Tree:
    return Tree(leaf_hash(salt + number.to_bytes(2, "big")) for number in range(size))


TREE, FORK = tree(64), tree(64, b"fork")


def body(
    old: int, size: int, of: Tree = TREE, key: SigningKey = KEY, origin: str = ORIGIN
) -> bytes:
    note = sign_note(checkpoint_text(origin, size, of.root(size)), origin, key)
    proof = of.consistency(old, size) if 0 < old <= size else ()
    return WitnessRequest(old=old, proof=proof, note=note).to_bytes


def signed(answer: bytes, size: int, of: Tree = TREE) -> list[VerifierKey]:
    """Whose cosignatures of a head an answer holds."""
    text = checkpoint_text(ORIGIN, size, of.root(size))
    keys = [cosigner.key for cosigner in COSIGNERS]
    return [one.key for one in cosigned_lines(text, parse_lines(answer), keys)]


@pytest.fixture
def state(tmp_path: Path) -> WitnessState:
    return WitnessState(tmp_path / "witness.db")


def service(state: WitnessState, *cosigners: Cosigner) -> WitnessService:
    trusted = {ORIGIN: [(ORIGIN, KEY.public)]}
    return WitnessService(cosigners or COSIGNERS, trusted, state, lambda: NOW)


@pytest.fixture
def url(state: WitnessState) -> Iterator[str]:
    with serving(service(state), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/add-checkpoint"


def test_each_answer_over_http_is_that_of_the_specification(url: str) -> None:
    with httpx2.Client(trust_env=False, verify=NO_TLS) as http:

        def post(content: bytes) -> httpx2.Response:
            return http.post(url, content=content)

        first = post(body(0, 10))
        assert (first.status_code, signed(first.content, 10)) == (200, [c.key for c in COSIGNERS])
        assert post(body(10, 20)).status_code == 200
        late = post(body(10, 30))
        assert (late.status_code, late.content) == (409, b"20\n")
        assert late.headers["content-type"] == SIZE_TYPE
        unknown = post(body(0, 30))  # whoever does not know the size may ask with zero
        assert (unknown.status_code, unknown.content) == (409, b"20\n")
        again = post(body(20, 20))
        assert (again.status_code, len(signed(again.content, 20))) == (200, 2)
        other = post(body(20, 20, of=FORK))
        assert (other.status_code, other.content) == (409, b"20\n")
        statuses = {
            404: body(20, 30, origin="example.org/unknown"),
            403: body(20, 30, key=OTHER),
            400: body(30, 20),
            422: body(20, 30, of=FORK),
            413: bytes(1 << 19),
        }
        assert {status: post(data).status_code for status, data in statuses.items()} == {
            status: status for status in statuses
        }
        assert post(b"old 20\n").status_code == 400
        assert http.get(url).status_code == 405
        assert post(body(20, 30)).status_code == 200


def test_what_contradicts_is_kept_and_bounded(state: WitnessState) -> None:
    witness = service(state)
    witness.add_checkpoint(body(0, 10))
    for _ in range(2):
        witness.add_checkpoint(body(10, 10, of=FORK))
        witness.add_checkpoint(body(10, 20, of=FORK))
    found = state.contradictions()
    assert [one.reason for one in found] == [
        "two roots of 10 entries are signed", "the first 10 leaves were changed",
    ]  # fmt: skip
    assert {one.cosigned_note for one in found} == {state.note(ORIGIN)}
    assert witness.add_checkpoint(body(10, 20)).status == 200


def test_nobody_crowds_out_what_a_log_signed_twice(state: WitnessState) -> None:
    witness = service(state)
    witness.add_checkpoint(body(0, 10))
    wrong = (bytes(32),)
    for size in range(11, 64):  # true heads, with proofs that whoever asks made up
        note = sign_note(checkpoint_text(ORIGIN, size, TREE.root(size)), ORIGIN, KEY)
        for line in (b"", b"\xe2\x80\x94 eve AAAAAAAA\n", note.split(b"\n\n")[1]):
            asked = WitnessRequest(old=10, proof=wrong, note=note + line)
            assert witness.add_checkpoint(asked.to_bytes).status == 422
    assert len(state.contradictions()) == 53
    for salt in range(MAX_CONTRADICTIONS):
        fork = tree(11, salt.to_bytes(1, "big") + b"f")
        witness.add_checkpoint(body(10, 11, of=fork))
    witness.add_checkpoint(body(10, 10, of=FORK))
    found = [one.reason for one in state.contradictions()]
    assert found.count("two roots of 10 entries are signed") == 1
    assert len(found) == MAX_CONTRADICTIONS + 1


@pytest.mark.parametrize("size", [2**63, 10**19 - 1])
def test_a_tree_that_is_too_large_is_malformed(state: WitnessState, size: int) -> None:
    note = sign_note(checkpoint_text(ORIGIN, size, bytes(32)), ORIGIN, KEY)
    asked = WitnessRequest(old=0, proof=(), note=note)
    assert service(state).add_checkpoint(asked.to_bytes).status == 400


def test_a_witness_that_lost_its_heads_cosigns_nothing(tmp_path: Path) -> None:
    folder = add_log(make_folder(tmp_path / "w", NAME), LOG.text)
    assert folder.service.add_checkpoint(body(0, 30)).status == 200
    (tmp_path / "w" / "witness.db").unlink()
    with pytest.raises(WorkspaceRefused, match="it would cosign a second history"):
        open_folder(tmp_path / "w")


def test_a_log_that_no_cosignature_can_name_is_not_watched(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "w", NAME)
    log = VerifierKey(name="x" * 256, type=KeyType.ED25519, public=KEY.public)
    with pytest.raises(WorkspaceRefused, match="a log's name has at most 255 bytes"):
        add_log(folder, log.text)


class Killed(BaseException):
    """The process ends here."""


class KilledState(WitnessState):
    """A state whose process is killed before or after a head is durable."""

    at = ""

    def advance(self, head: HeadToCosign) -> bool:
        if self.at == "before it is kept":
            raise Killed
        done = super().advance(head)
        if self.at == "after it is kept":
            raise Killed
        return done


class KilledCosigner(Ed25519Cosigner):
    """A key whose process is killed as it signs; what it has signed may have left."""

    def cosign(self, text: str, time: int) -> SignatureLine:
        raise Killed


@pytest.mark.parametrize("step", ["before it is kept", "after it is kept", "while it signs"])
@pytest.mark.parametrize("of_size", [10, 11])
def test_a_witness_killed_at_any_step_never_cosigns_a_fork(
    tmp_path: Path, step: str, of_size: int
) -> None:
    path = tmp_path / "witness.db"
    service(WitnessState(path)).add_checkpoint(body(0, 5))
    dying = KilledState(path)
    dying.at = step
    keys = [KilledCosigner(NAME, SigningKey.from_bytes(b"w" * 32))]
    with pytest.raises(Killed):
        service(dying, *(keys if step == "while it signs" else ())).add_checkpoint(body(5, 10))
    # Started anew, it is shown another history, which agrees with what it cosigned before.
    other = Tree(leaf_hash(number.to_bytes(2, "big")) for number in range(5))
    for number in range(5, 64):
        other.append(leaf_hash(b"other" + number.to_bytes(2, "big")))
    again = service(WitnessState(path))
    answer = again.add_checkpoint(body(5, of_size, of=other))
    if step == "before it is kept":  # nothing was signed: either history may be cosigned, once
        assert answer.status == 200
        assert again.add_checkpoint(body(of_size, 20)).status == 422
    else:
        assert (answer.status, answer.body) == (409, b"10\n")
        assert again.add_checkpoint(body(10, of_size, of=other)).status in (409, 422)
        assert again.add_checkpoint(body(10, 20)).status == 200


def test_the_race_of_the_specification_rolls_nothing_back(tmp_path: Path) -> None:
    """Request A is checked, B is checked and kept, then A would be kept."""
    path = tmp_path / "witness.db"
    service(WitnessState(path)).add_checkpoint(body(0, 5))

    class Overtaken(WitnessState):
        def advance(self, head: HeadToCosign) -> bool:
            if head.checkpoint.size == 10:
                assert service(WitnessState(path)).add_checkpoint(body(5, 20)).status == 200
            return super().advance(head)

    answer = service(Overtaken(path)).add_checkpoint(body(5, 10))
    assert (answer.status, answer.body) == (409, b"20\n")
    newest = WitnessState(path).newest(ORIGIN)
    assert newest is not None
    assert newest.size == 20


def test_of_many_requests_at_once_each_head_is_cosigned_once_and_in_order(url: str) -> None:
    answers: dict[int, httpx2.Response] = {}

    def submit(size: int) -> None:
        with httpx2.Client(trust_env=False, verify=NO_TLS) as http:
            answers[size] = http.post(url, content=body(0, size))

    threads = [threading.Thread(target=submit, args=(size,)) for size in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers.values())
    assert statuses == [200] + [409] * 11
    (winner,) = [size for size, answer in answers.items() if answer.status_code == 200]
    assert {a.content for a in answers.values() if a.status_code == 409} == {b"%d\n" % winner}


def test_a_state_that_cannot_be_written_signs_nothing(state: WitnessState, tmp_path: Path) -> None:
    class Full(WitnessState):
        def advance(self, head: HeadToCosign) -> bool:
            raise StoreBroken("the disk is full")

    full = service(Full(tmp_path / "other.db"))
    with (
        serving(full, "127.0.0.1", 0) as port,
        httpx2.Client(trust_env=False, verify=NO_TLS) as http,
    ):
        url = f"http://127.0.0.1:{port}/add-checkpoint"
        answer = http.post(url, content=body(0, 1))
    assert (answer.status_code, answer.content) == (503, b"the witness cannot write\n")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "witness.db").write_bytes(b"x" * 4096)
    with pytest.raises(StoreBroken, match="the witness's file"):
        WitnessState(tmp_path / "witness.db")


def test_a_folder_holds_two_keys_for_its_owner_alone_and_the_logs(tmp_path: Path) -> None:
    made = make_folder(tmp_path / "w", NAME)
    assert [c.key.type for c in made.cosigners] == [
        KeyType.ED25519_COSIGNER, KeyType.ML_DSA_44_COSIGNER,
    ]  # fmt: skip
    watching = add_log(add_log(made, LOG.text), LOG.text + "\n")
    assert watching.logs == (LOG,)
    again = open_folder(tmp_path / "w")
    assert [c.key for c in again.cosigners] == [c.key for c in made.cosigners]
    assert again.service.add_checkpoint(body(0, 3)).status == 200
    with pytest.raises(WorkspaceRefused, match="holds a witness already"):
        make_folder(tmp_path / "w", NAME)
    with pytest.raises(WorkspaceRefused, match="type 1"):
        add_log(made, made.cosigners[0].key.text)
    (tmp_path / "w" / "ed25519.key").chmod(0o644)
    with pytest.raises(WorkspaceRefused, match="open to other users"):
        open_folder(tmp_path / "w")


@pytest.mark.parametrize("name", ["", "two words", "a+b"])
def test_a_name_that_no_note_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkspaceRefused, match="cannot be a witness's name"):
        make_folder(tmp_path / "w", name)
