"""What a hospital served: logged as it scores, asked for at a day, stated, held to the register."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collegium.cli import main as cli
from collegium.models.inference.access_tokens import add_token
from collegium.models.inference.expected import fault_of, require_expected
from collegium.models.inference.scoring_place import ModelPlace, ScoringPlace, scoring_place
from collegium.models.inference.serving import ServicePlace, serve, server_of
from protocol.errors import MessageRefused, PolicyRefused, SiteFileRefused, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.log.tlog_proof import TlogProof
from protocol.transport.serving_statement import parse_serving_statement
from protocol.transport.snapshot import parse_snapshot
from silos.config.directory import reading
from silos.database.identity_keys import IdentityKeys
from silos.results.serving import serving_log_of
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.rosters import COORDINATOR_KEY
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.exported_model import export
from tests.support.simulated.studies import small_study

ROWS = "age,ward,patient,comment\n50,A,p1,x\n12,C,p3,x\n"
KEY = COORDINATOR_KEY.public.hex()


def asked(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["infer", *map(str, words)])


def today() -> str:
    return datetime.now(UTC).date().isoformat()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "records.csv").write_text(ROWS)
    return export(tmp_path / "heart-1", small_study())


@pytest.fixture
def east(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def snapshot_of(folder: Path) -> str:
    return parse_snapshot((folder / "snapshot.json").read_bytes()).snapshot.digest


def scored(folder: Path, home: Path) -> Result:
    to = home.parent / "scores.csv"
    return asked(folder, home.parent / "records.csv", "--home", home, "--key", KEY, "--to", to)


def test_a_batch_is_logged_and_the_day_is_answered_from_the_log(folder: Path, east: Path) -> None:
    before = asked("served", "--at", today(), "--home", east)
    assert "nothing was ever loaded here" in before.stdout
    assert scored(folder, east).exit_code == 0
    told = asked("served", "--at", today(), "--home", east)
    assert snapshot_of(folder) in told.stdout and "batch from folder heart-1" in told.stdout
    found = json.loads(asked("served", "--at", today(), "--home", east, "--json").stdout)
    (period,) = found["periods"]
    assert (period["snapshot"], period["end"]) == (snapshot_of(folder), "recorded")
    assert found["head"] == serving_log_of(east).read().head
    none = asked("served", "--at", "2020-01-01", "--home", east)
    assert "nothing was loaded to score; the log begins at" in none.stdout


def test_a_statement_is_signed_with_the_hospitals_key_and_names_what_was_loaded(
    folder: Path, east: Path, tmp_path: Path
) -> None:
    to = tmp_path / "served.json"
    assert scored(folder, east).exit_code == 0
    unknown = asked("statement", "--to", to, "--home", east)
    assert isinstance(unknown.exception, PolicyRefused) and "--key" in str(unknown.exception)
    made = asked("statement", "--to", to, "--home", east, "--key", KEY, "--json")
    signed = parse_serving_statement(to.read_bytes())
    with reading(east) as (_, hospital):
        signed.require_signed(IdentityKeys(hospital).own.public)
    assert json.loads(made.stdout)["statement"] == signed.statement.digest
    (period,) = signed.statement.periods
    assert (period.snapshot, period.use) == (snapshot_of(folder), "batch")
    assert signed.statement.coordinator == KEY and signed.statement.site == "east"
    again = asked("statement", "--to", tmp_path / "again", "--home", east, "--key", KEY, "--again")
    assert again.exit_code == 0 and (tmp_path / "again").read_bytes() == to.read_bytes()


def test_without_a_hospital_nothing_is_logged(folder: Path, tmp_path: Path) -> None:
    place = scoring_place(ModelPlace(folder=folder))
    with place.serving("batch"):
        pass
    assert place.serving_log is None
    for words in (("served", "--at", "2026-01-01"), ("statement", "--to", tmp_path / "s")):
        assert isinstance(asked(*words, "--home", tmp_path).exception, SiteFileRefused)


def test_a_service_that_a_signal_ends_has_its_end_in_the_log(
    place: ScoringPlace, folder: Path, east: Path
) -> None:
    tokens = east / "inference" / "tokens"
    add_token(tokens, "ward-3")
    server = server_of(place, ServicePlace(port=0), tokens, lambda said: None)
    seen: list[str] = []

    def end_it() -> None:
        until = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        seen.extend(one.end for one in serving_log_of(east).periods())
        os.kill(os.getpid(), signal.SIGTERM)  # the server has its handler since it started

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=end_it)
    thread.start()
    with pytest.raises(SystemExit) as ended:
        serve(place, server)
    thread.join(PATIENCE)
    assert ended.value.code == 0 and signal.getsignal(signal.SIGTERM) is before
    (period,) = serving_log_of(east).periods()
    assert seen == ["running"]
    assert (period.use, period.end, period.snapshot) == ("service", "recorded", snapshot_of(folder))


class Proofs:
    """Proofs of entries of one log, as ``models served --to`` writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, SigningKey.generate()

    def of(self, kind: str, payload: str) -> Path:
        log = CoordinatorLog(self.key)
        log.append("study-registered", "0" * 64)
        log.append(kind, payload)
        place = len(log.entries) - 1
        made = TlogProof(
            index=place,
            path=log.tree.inclusion(place, len(log.entries)),
            note=log.head.note,
            extra=log.entries[place].data,
        )
        path = self.folder / f"{kind}.tlog-proof"
        path.write_bytes(made.to_bytes)
        return path


@pytest.fixture
def proofs(tmp_path: Path) -> Proofs:
    return Proofs(tmp_path)


@pytest.fixture
def place(folder: Path, east: Path) -> ScoringPlace:
    return scoring_place(ModelPlace(folder=folder, home=east, key=COORDINATOR_KEY.public))


def test_a_model_that_the_register_does_not_have_served_is_refused_but_for_anyway(
    place: ScoringPlace, folder: Path, proofs: Proofs
) -> None:
    public = proofs.key.public
    right = proofs.of("model-promoted", snapshot_of(folder))
    assert require_expected(place, right, public, anyway=False) is None
    other = proofs.of("model-canary-begun", "a" * 64)
    with pytest.raises(PolicyRefused, match="version aaaaaaaaaaaa is to be served. Nothing"):
        require_expected(place, other, public, anyway=False)
    assert "is to be served" in str(require_expected(place, other, public, anyway=True))
    assert "which left" in str(fault_of(place, proofs.of("model-rolled-back", "a" * 64), public))
    with pytest.raises(MessageRefused, match="proves no event of a model"):
        fault_of(place, proofs.of("run-finished", "a" * 64), public)
    with pytest.raises(MessageRefused):
        fault_of(place, right, SigningKey.generate().public)
    with pytest.raises(WorkspaceRefused):
        fault_of(place, folder / "none", public)


def test_serve_refuses_what_is_not_expected_before_it_listens(
    folder: Path, east: Path, proofs: Proofs
) -> None:
    asked("token", "ward-3", "--home", east)
    other = proofs.of("model-promoted", "a" * 64)
    words = ("serve", folder, "--home", east, "--key", KEY, "--expect", other)
    refused = asked(*words, "--log-key", proofs.key.public.hex())
    assert isinstance(refused.exception, PolicyRefused) and "--anyway" in str(refused.exception)
    assert "--log-key go together" in str(asked(*words).exception)
    assert serving_log_of(east).periods() == ()
