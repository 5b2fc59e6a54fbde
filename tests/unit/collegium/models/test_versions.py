"""Commands of the register of models, used as its people use them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.difference import _facts
from collegium.verification.proofs import verify_proof
from compliance.reports.basis import Evidenced
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds.run_claims import result_claims
from compliance.storage.clock import timestamp, utc_now
from coordinator.database.store import Store, logged_entries
from coordinator.database.workspace import Workspace
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.views.views import open_views
from protocol.errors import FederationError, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.transport.serving_statement import ServedPeriod, ServingStatement, sign_serving
from silos.database.database import open_hospital
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.output_folder import change, make_folder


class Desk:
    """A folder with people, whose keys lie in files, and the command."""

    def __init__(self, folder: Path) -> None:
        self.out, self.folder = make_folder(folder), folder
        workspace = Workspace.open(self.out)
        with closing(Store(workspace.database)) as store:
            self.people = People.over(store, workspace.signing_key())
            self.people.found()
        for name in (BEA, CLEO):
            self._key_file(name)

    def _key_file(self, name: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        key = Ed25519PrivateKey.from_private_bytes(self.people.key(name).to_bytes())
        path = self.file(name)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def told(self, *words: str, as_: str | None = None) -> Any:
        """Returns what a command tells as JSON."""
        given = [*words, "--out", str(self.out), "--json"]
        if as_ is not None:
            given += ["--as", str(self.file(as_))]
        found = CliRunner().invoke(cli.app, given, standalone_mode=False)
        if found.exception is not None:
            raise found.exception
        return json.loads(found.stdout)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Yields a desk at which one model is in production since a canary at two hospitals."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    lead = {"as_": CLEO}
    made.told(
        "models",
        "register",
        "heart",
        "run-1",
        "--no-red-team",
        "--no-canary-evaluation",
        "--margin",
        "1",
        **lead,
    )
    made.told("models", "canary", "heart", "run-1", "--site", "north", "--site", "east", **lead)
    change = made.told("models", "promote", "heart", "run-1", **lead)["change"]
    given = ["people", "confirm", str(change), "--home", str(made.out), "--as", str(made.file(BEA))]
    done = CliRunner().invoke(cli.app, given, standalone_mode=False)
    assert done.exception is None, done.stderr
    return made


def test_a_model_in_production_is_shown_with_thresholds_gates_and_history(desk: Desk) -> None:
    shown = desk.told("models", "show", "heart")
    assert shown["rules"] == {
        "least": None, "margin": 1.0, "largest_gap": None, "red_team": False,
        "canary_evaluation": False, "largest_advantage": 0.1, "largest_exposure": 0.5,
    }  # fmt: skip
    (version,) = shown["versions"]
    assert version["stage"] == "production" and version["run"] == "run-1"
    assert {gate["name"] for gate in version["gates"]} == {"signatures", "privacy"}
    assert [event["kind"] for event in shown["history"]] == [
        "registered", "canary-begun", "promoted"
    ]  # fmt: skip
    assert shown["history"][1]["sites"] == ["east", "north"]


def test_who_served_which_version_is_answered_with_a_proof_that_is_checked_offline(
    desk: Desk,
) -> None:
    with closing(Store(Workspace.open(desk.out).database)) as store, store.read() as session:
        begun, promoted = line_of(session, "heart").events[1:]
    proof = desk.folder / "served.tlog-proof"
    found = desk.told("models", "served", "heart", "east", "--at", begun.time, "--to", str(proof))
    assert found["version"] == begun.version and found["since"]["kind"] == "canary-begun"
    verified = verify_proof(proof, public=Workspace.open(desk.out).public_key())
    assert verified["index"] == found["entry"]
    assert desk.told("models", "served", "heart", "west", "--at", begun.time)["version"] is None
    later = desk.told("models", "served", "heart", "west", "--at", promoted.time)
    assert later["since"]["kind"] == "promoted"
    assert desk.told("models", "served", "heart", "west", "--at", "2020-01-01")["version"] is None
    today = desk.told("models", "served", "heart", "west", "--at", timestamp()[:10])
    assert promoted.time <= today["time"] <= timestamp()  # what is served tonight nobody knows


def test_two_models_differ_in_what_their_snapshots_say_and_in_their_parameters(desk: Desk) -> None:
    found = desk.told("models", "diff", "run-1", "run-2")
    assert "model" in found["facts"] and "study" not in found["facts"]
    assert found["parameters"].keys() == {"bias", "weight"}
    assert all(distance > 0 for distance in found["parameters"].values())
    same = desk.told("models", "diff", "run-1", "run-1")
    assert same["facts"] == {} and set(same["parameters"].values()) == {0.0}


def test_a_difference_tells_epsilon_as_a_promise_does_and_not_in_millionths(desk: Desk) -> None:
    with closing(Store.for_reading(Workspace.open(desk.out).database)) as store:
        with store.read() as session:
            snapshot = signed_snapshot(session, "run-1").snapshot
    first, *others = snapshot.privacy
    promise = replace(first, epsilon=7_995_235, evaluation_epsilon=999_539)
    told = _facts(replace(snapshot, privacy=(promise, *others)))[f"privacy of {promise.site}"]
    assert "epsilon 8, evaluation_epsilon 1," in str(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "lung"), "no model 'lung'"),
        (("served", "heart", "east", "--at", "yesterday"), "a day or a time"),
        (("served", "heart", "east", "--at", "2099-01-01"), "2099-01-01 is still to come"),
        (("promote", "lung", "run-2"), "no model 'lung'"),
        (("promote", "heart", "run-9"), "no signed snapshot"),
        (("register", "heart", "run-2", "--margin", "-1"), "0 or more"),
        (("register", "Heart!", "run-2"), "small letters"),
        (("canary", "heart", "run-2", "--site", "east"), "not registered"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(
    desk: Desk, words: tuple[str, ...], told: str
) -> None:
    acts = words[0] not in ("show", "served")
    with pytest.raises(FederationError, match=told) as refused:
        desk.told("models", *words, as_=CLEO if acts else None)
    assert isinstance(refused.value, PolicyRefused)


def test_a_report_names_who_signed_the_snapshot_by_its_entry_of_the_log(desk: Desk) -> None:
    with closing(open_views(desk.out)) as views:
        subject = ReportSubject(facts=views.subject("run", "run-1"))
        signed = views.snapshot("run-1").snapshot
    (claim,) = (
        one
        for one in result_claims(subject, subject.dossiers[0]).items
        if one.topic == "Signed snapshot"
    )
    assert "4 of 4 hospitals (east, north, south, west)" in claim.text
    assert signed.digest in claim.text
    assert isinstance(claim.basis, Evidenced)
    (entry,) = claim.basis.entries
    with closing(Store(Workspace.open(desk.out).database)) as store, store.read() as session:
        content = logged_entries(session)[entry].content
    assert (content.type, content.payload) == ("snapshot-signed", signed.digest)


def test_a_hospitals_statement_is_taken_and_stands_beside_what_it_was_to_serve(desk: Desk) -> None:
    asked = ("models", "served", "heart", "west", "--at", utc_now().date().isoformat())
    assert desk.told(*asked)["stated"] is None
    with closing(open_hospital(desk.out / "silos" / "west" / "hospital.db", site="west")) as west:
        key = SigningKey.from_bytes(west.identity_key)
    now = timestamp()
    with closing(open_views(desk.out)) as views:
        other = views.snapshot("run-2").snapshot.digest
        (line,) = views.models()
    begun = line.line.events[-1].time
    period = ServedPeriod(snapshot=other, use="service", since=begun, until=now, end="running")
    statement = ServingStatement(
        coordinator=Workspace.open(desk.out).public_key().hex(), site="west", number=1,
        since=begun, until=now, periods=(period,), head="0" * 64,
    )  # fmt: skip
    file = desk.folder / "west.json"
    file.write_bytes(sign_serving(statement, key).to_bytes())
    assert desk.told("models", "confirm-served", str(file), as_=CLEO)["models"] == ["heart"]
    found = desk.told(*asked[:-1], now)
    assert found["stated"]["others"][0]["snapshot"] == other  # it is no version of heart
    assert found["stated"]["agrees"] is None and found["stated_entry"] > found["entry"]
    desk.told("models", "register", "heart", "run-2", as_=CLEO)
    found = desk.told(*asked[:-1], now)
    assert found["stated"]["agrees"] is False
    (disagreement,) = desk.told("models", "show", "heart")["disagreements"]
    assert (disagreement["site"], disagreement["stated"]) == ("west", other)
    given = ["models", "served", "heart", "west", "--at", now, "--out", str(desk.out)]
    assert "DISAGREES: west stated another version" in CliRunner().invoke(cli.app, given).stdout
    given = ["models", "show", "heart", "--out", str(desk.out)]
    assert f"DISAGREES  west stated {other[:12]}" in CliRunner().invoke(cli.app, given).stdout


def test_a_reason_of_several_lines_looks_like_no_other_event(desk: Desk) -> None:
    forged = "spoilt\n  2026-11-29T00:00:00.000Z  promoted 000000000000, Dr. Ada Admin"
    desk.told("models", "register", "kidney", "run-2", "--no-red-team", as_=CLEO)
    desk.told("models", "retire", "kidney", "run-2", "--reason", forged, as_=CLEO)
    asked = ["models", "show", "kidney", "--out", str(desk.out)]
    lines = CliRunner().invoke(cli.app, asked).stdout.splitlines()
    assert not [line for line in lines if line.startswith("  2026-11-29T00:00:00.000Z")]
    assert any(" retired " in line and "spoilt" in line for line in lines)


def test_no_gate_is_judged_by_rows_that_were_changed_in_the_database(
    desk: Desk, tmp_path: Path
) -> None:
    """Who can write the database, and has no key, takes a red team's findings away."""
    words = ("--no-red-team", "--no-canary-evaluation", "--least", "0")
    desk.told("models", "register", "liver", "run-2", *words, as_=CLEO)
    copied = Path(shutil.copytree(desk.out, tmp_path / "copied"))
    change(copied, "UPDATE run SET failure = 'none'")
    asked = ["models", "canary", "liver", "run-2", "--site", "east", "--out", str(copied)]
    given = [*asked, "--as", str(desk.file(CLEO))]
    found = CliRunner().invoke(cli.app, given, standalone_mode=False)
    assert isinstance(found.exception, StoreBroken)
    assert "is not what was logged" in str(found.exception)
