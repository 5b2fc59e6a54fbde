"""``collegium audit policy|prove|verify-proof|witness``: proofs that leave the folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collegium.cli.main import app
from coordinator.database.store import LogEntryRow, Store
from coordinator.database.workspace import Workspace
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Ed25519Cosigner, parse_verifier_key
from protocol.log.tlog_proof import parse_tlog_proof
from protocol.log.witness_policy import parse_policy
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.simulated.output_folder import RUNS, make_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("proofs"))


def run(*given: object, code: int = 0) -> Any:
    """Returns what a command answers with --json."""
    done = CliRunner().invoke(app, ["audit", *map(str, given), "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout)


@pytest.fixture
def policy(folder: Path, tmp_path: Path) -> Path:
    run("policy", "--out", folder, "--to", tmp_path / "policy")
    return tmp_path / "policy"


def test_the_policy_names_the_log_its_hospitals_and_their_quorum(
    folder: Path, policy: Path
) -> None:
    read = parse_policy(policy.read_bytes())
    assert [log.key.public for log in read.logs] == [Workspace(folder).public_key()]
    assert [one.name for one in read.witnesses] == ["east", "north", "south", "west"]
    (group,) = read.groups
    assert (group.least, read.quorum) == (3, "hospitals")


def test_before_the_first_run_the_policy_is_that_of_the_signed_roster(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "coordinator")
    refused = run("policy", "--out", home.root, code=66)["error"]
    assert "neither a run nor a signed roster" in refused and "roster propose" in refused
    home.found("lyon", "oslo", "turin")
    read = parse_policy(run("policy", "--out", home.root)["policy"].encode())
    assert [one.name for one in read.witnesses] == ["lyon", "oslo", "turin"]
    assert read.groups[0].least == 3


def test_a_run_and_its_figures_are_proven_and_verified_without_the_folder(
    folder: Path, policy: Path, tmp_path: Path
) -> None:
    for kind in (None, "release", "result"):
        to = tmp_path / f"{kind}.tlog-proof"
        named = () if kind is None else ("--type", kind)
        made = run("prove", RUNS[0], "--out", folder, "--to", to, *named)
        assert made["meets_quorum"], made
        found = run("verify-proof", to, "--policy", policy)
        assert (found["verified"], found["index"]) == (True, made["index"])
        assert found["entry"]["run"] == RUNS[0]
        assert found["entry"]["type"] == kind or kind is None
        assert len(found["cosigned_by"]) == 4
        assert run("verify-proof", to, "--key", Workspace(folder).public_key().hex())["verified"]


def test_an_entry_is_proven_by_its_number(folder: Path, policy: Path, tmp_path: Path) -> None:
    for index in (0, 7):
        to = tmp_path / "entry.tlog-proof"
        assert run("prove", index, "--out", folder, "--to", to)["index"] == index
        assert run("verify-proof", to, "--policy", policy)["entry"]["seq"] == index


def test_the_newest_entry_is_proven_under_the_logs_key_alone_and_that_is_said(
    folder: Path, policy: Path, tmp_path: Path
) -> None:
    store, to = Store.for_reading(folder / "collegium.db"), tmp_path / "newest.tlog-proof"
    with store.read() as session:
        newest = session.query(LogEntryRow).count() - 1
    store.close()
    made = run("prove", newest, "--out", folder, "--to", to)
    assert (made["cosigned_by"], made["meets_quorum"]) == ([], False)
    refused = run("verify-proof", to, "--policy", policy, code=1)
    assert "not cosigned as the policy's quorum hospitals asks" in refused["error"]


@pytest.mark.parametrize("spoil", ["entry", "index", "note", "policy"])
def test_a_proof_that_was_changed_holds_no_more(
    folder: Path, policy: Path, tmp_path: Path, spoil: str
) -> None:
    to = tmp_path / "run.tlog-proof"
    run("prove", RUNS[0], "--out", folder, "--to", to)
    proof = parse_tlog_proof(to.read_bytes())
    text = to.read_text()
    if spoil == "entry":
        (tmp_path / "entry").write_bytes((proof.extra or b"") + b" ")
        run("verify-proof", to, "--policy", policy, "--entry", tmp_path / "entry", code=1)
        return
    if spoil == "policy":
        stranger = Ed25519Cosigner("stranger.example", SigningKey.generate()).key
        log = policy.read_text().splitlines()[0]
        policy.write_text(f"{log}\nwitness stranger {stranger.text}\nquorum stranger\n")
    old, new = {
        "index": (f"index {proof.index}", f"index {proof.index - 1}"),
        "note": ("\n\ncollegium/audit", "\n\ncollegium/other"),
        "policy": ("", ""),
    }[spoil]
    to.write_text(text.replace(old, new))
    assert "proves nothing" in run("verify-proof", to, "--policy", policy, code=1)["error"]


def test_what_is_not_there_is_told_with_its_exit_code(folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "x.tlog-proof"
    assert (
        "no such entry or run"
        in run("prove", "9999999", "--out", folder, "--to", to, code=66)["error"]
    )
    has = run("prove", RUNS[0], "--out", folder, "--to", to, "--type", "dream", code=66)["error"]
    assert "has no entry dream; it has " in has
    run("verify-proof", to, "--key", "00" * 32, code=66)
    run("verify-proof", to, code=64)


def test_verify_says_who_has_cosigned_how_far(folder: Path, tmp_path: Path) -> None:
    found = run("verify", "--out", folder)
    names = [one["name"] for one in found["cosigners"]]
    assert names == [f"collegium/witness/v1/{site}" for site in ("east", "north", "south", "west")]
    assert 0 < found["cosigned_by_quorum"] < found["size"]
    assert any("were shown to anybody" in sentence for sentence in found["not_checked"])


def test_a_witness_is_made_told_of_a_log_and_shown(
    folder: Path, policy: Path, tmp_path: Path
) -> None:
    home = tmp_path / "witness"
    made = run("witness", "init", "--home", home, "--name", "witness.example.org/ethics")
    keys = [parse_verifier_key(text) for text in made["keys"]]
    assert {key.name for key in keys} == {"witness.example.org/ethics"}
    (log,) = parse_policy(policy.read_bytes()).logs
    assert run("witness", "trust", log.key.text, "--home", home)["logs"] == [log.key.text]
    shown = run("witness", "show", "--home", home)
    assert (shown["keys"], shown["logs"]) == (made["keys"], {log.key.name: None})
    assert shown["contradictions"] == []
