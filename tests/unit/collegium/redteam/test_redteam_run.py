"""A run under attack: what was signed and kept is tested, and what is found is logged with it."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console

from collegium.cli import main as cli
from collegium.redteam import run as redteam_run
from collegium.redteam.findings import Findings
from collegium.redteam.harness import AttackRandomness
from collegium.redteam.noise import canaries
from collegium.redteam.noise import checks as noise_checks
from collegium.redteam.records import inversion as redteam_inversion
from collegium.redteam.records import membership as redteam_membership
from collegium.redteam.run import Places, red_team_run
from collegium.simulation.settings import simulated_split_key
from compliance.audit.log import NewEntry
from compliance.facts.dossier import DataFile
from compliance.privacy.empirical_audit.checks import check_masks
from coordinator.audit.verification import verify_records
from coordinator.database.store import ReleaseRow, logged_entries
from coordinator.views.views import open_views
from protocol.encoding import digest
from protocol.errors import QuorumLost, StoreBroken, StudyRefused, WorkspaceRefused
from protocol.secagg.context import RoundContext
from protocol.secagg.encrypted_shares import SiloSecrets
from protocol.secagg.masking import mask_private_key
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import write_summaries
from protocol.vectors.keystream import derive_key
from silos.rounds.silo import Silo
from silos.training.randomness import FixedEntropy
from silos.training.trainer import Trainer
from tests.support.simulated.faults import WeakNoise
from tests.support.simulated.federation import Federation, write_hospitals
from tests.support.simulated.studies import changed, small_study
from tests.unit.collegium.redteam.test_redteam import SHARED_CHANGES, varied

QUIET = Console(quiet=True)


class Hospitals(Federation):
    """A federation with the real trainer, whose runs are brought to their end."""

    def _silo(self, site: str, budget: float) -> Silo:
        home = self.workspace.silos / site
        home.mkdir()
        key = simulated_split_key(self.study, site)
        silo = Silo(site, home, Trainer, simulated=True, split_key=key)
        silo.grant(budget, 1e-3)
        return silo

    def finish(self) -> None:
        outcome = self.run()
        trainers = {site: silo.simulated_part(self.run_id) for site, silo in self.silos.items()}
        exact = json.dumps(
            {"sites": {s: {"train_patients": t.num_train_patients} for s, t in trainers.items()}}  # type: ignore[attr-defined]
        )
        words = write_summaries(
            {name: silo.leave(self.run_id) for name, silo in self.silos.items()}
        )
        said = {
            "settlements": digest(words.encode()),
            "exact-figures": digest(exact.encode()),
            "run-finished": outcome.model_digest,
        }
        with self.store.transaction() as transaction:
            row = transaction.run(self.run_id)
            row.state, row.sites_json, row.exact_json = "finished", words, exact
            row.model_digest = outcome.model_digest
            record = transaction.write(row)
            entries = [
                NewEntry(type=kind, run_id=self.run_id, payload=payload,
                         record=record if kind == "run-finished" else None)
                for kind, payload in said.items()
            ]  # fmt: skip
            transaction.log(entries, self.workspace.signing_key())


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer numbers and models: for the way through, not for power."""
    monkeypatch.setattr(noise_checks, "_COORDINATES", 4_000)
    monkeypatch.setattr(noise_checks, "_SUM_COORDINATES", 4_000)
    monkeypatch.setattr(canaries, "_MAX_CANARIES", 200)
    monkeypatch.setattr(redteam_membership, "_LIRA_MODELS", 4)
    monkeypatch.setattr(redteam_membership, "_OVERTRAINING", 10)
    monkeypatch.setattr(redteam_inversion, "_DRAWS", 4)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def made(folder: Path, study: Study) -> Hospitals:
    federation = Hospitals(folder, study)
    federation.finish()
    return federation


def attacked(federation: Hospitals, make: type[Trainer] = Trainer) -> Findings:
    places = Places(out=federation.workspace.root, data=federation.data)
    entropy = FixedEntropy(7, simulated=True)
    chances = AttackRandomness(entropy=entropy, random=np.random.default_rng(7))
    return red_team_run("run", places, QUIET, make, chances)


def verified(federation: Hospitals) -> None:
    with federation.store.read() as session:
        verify_records(session, federation.workspace.public_key())


def logged(federation: Hospitals) -> list[tuple[str, str]]:
    with federation.store.read() as session:
        contents = [entry.content for entry in logged_entries(session, "run-1")]
    return [(content.type, content.payload) for content in contents]


def kept(federation: Hospitals) -> str:
    """The text of the findings that were kept with the run."""
    with federation.store.read() as session:
        return str(session.query(ReleaseRow).filter_by(kind="redteam").one().payload_json)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="per_site"),
        pytest.param(SHARED_CHANGES, id="distributed", marks=pytest.mark.long),
    ],
)
def test_a_run_that_holds_is_logged_and_stays_finished(
    tmp_path: Path, quick: None, changes: dict[str, str]
) -> None:
    federation = made(tmp_path, read_study(varied(changes)))
    findings = attacked(federation)
    assert findings.reasons == ()
    assert {check.name for check in findings.checks} >= {
        "price of what was signed",
        "masks of the kept rounds",
    }
    assert findings.attacks[-1].training == "this run's own final model"
    assert logged(federation)[-1] == ("redteam", digest(kept(federation).encode()))
    verified(federation)
    assert open_views(federation.workspace.root).dossier("run-1").state == "finished"
    assert (federation.workspace.root / "redteam" / "run-1" / "redteam.html").is_file()


CHANGES = {
    "state": ("UPDATE run SET state = 'finished'", "says finished, the log says failed"),
    "failure": ("UPDATE run SET failure = 'a disk'", "why it failed is not what the red team"),
    "findings": (
        "UPDATE release SET payload_json = replace(payload_json, 'true', 'false')",
        "what the red team found is not what is in the log",
    ),
    "removed": (
        "DELETE FROM release WHERE kind = 'redteam'",
        "what the red team found is not what is in the log",
    ),
}


@pytest.fixture(scope="module")
def contradicted(tmp_path_factory: pytest.TempPathFactory) -> Hospitals:
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        federation = made(tmp_path_factory.mktemp("run"), small_study())
        assert attacked(federation, WeakNoise).retested
    return federation


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGES)
def test_findings_that_were_changed_are_found(contradicted: Hospitals, name: str) -> None:
    change, message = CHANGES[name]
    with contradicted.store.read() as session:  # never committed
        session.connection().exec_driver_sql(change)
        with pytest.raises(StoreBroken, match=message):
            verify_records(session, contradicted.workspace.public_key())


def test_a_contradicted_run_is_marked_failed_with_its_reason(contradicted: Hospitals) -> None:
    payload = digest(kept(contradicted).encode())
    assert logged(contradicted)[-2:] == [("redteam", payload), ("run-failed", payload)]
    dossier = open_views(contradicted.workspace.root).dossier("run-1")
    assert dossier.state == "failed"
    assert dossier.failure is not None
    assert dossier.failure.startswith("Contradicted by the red team: not as promised: size of")
    verified(contradicted)
    page = (contradicted.workspace.root / "index.html").read_text()
    assert "Contradicted by the red team" in page
    assert "the red team contradicted what the hospitals had signed" in dossier.claim
    assert "Patient-level differential privacy." not in page


@pytest.mark.long
def test_nothing_found_later_makes_a_contradicted_run_good_again(
    contradicted: Hospitals, quick: None
) -> None:
    assert not attacked(contradicted).contradicted
    verified(contradicted)
    assert open_views(contradicted.workspace.root).dossier("run-1").state == "failed"


def test_what_was_signed_too_low_is_a_fault_before_anything_is_attacked(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("compliance.ledger.privacy_plan.epsilon", lambda event, delta: 0.5)
        patch.setattr("silos.training.second_opinion.require_not_cheaper", lambda *given: None)
        federation = made(tmp_path, small_study())
    with pytest.raises(StoreBroken, match="east signed evaluation_epsilon 0.5, and the study fix"):
        attacked(federation)


@pytest.mark.long
def test_masks_that_are_used_twice_contradict_the_run(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that forget the round, and secrets that a hospital draws only once."""

    def same(context: RoundContext, site: str) -> SiloSecrets:
        pair, own = (digest(f"{site}/{use}".encode())[:32].encode() for use in ("pair", "self"))
        return SiloSecrets(
            context=context, site=site, pair_secret=pair, self_secret=own,
            mask_private=mask_private_key(pair, context),
            share_private=X25519PrivateKey.generate(),
        )  # fmt: skip

    monkeypatch.setattr(SiloSecrets, "fresh", same)
    monkeypatch.setattr(
        "protocol.secagg.masking.derive_key",
        lambda secret, *, salt, info: derive_key(secret, salt=b"", info=info),
    )
    federation = made(tmp_path, small_study())
    (reason,) = attacked(federation).reasons
    assert reason == "not as promised: masks of the kept rounds"
    verified(federation)


def words(seed: int, count: int = 25) -> np.ndarray:
    return np.random.default_rng(seed).integers(2**32, size=count, dtype=np.uint32)


def test_a_mask_that_is_used_twice_is_seen_in_few_words_and_fresh_ones_are_not() -> None:
    small = np.random.default_rng(3).integers(-(2**24), 2**24, size=25).astype(np.uint32)
    assert not check_masks([(words(1), words(1) + small)]).passed
    p_values = [check_masks([(words(n), words(n + 1000))]).p_value for n in range(500)]
    assert min(p_values) > 1e-4
    assert sum(p < 0.05 for p in p_values) <= 40


def refused(federation: Hospitals, kind: type[Exception], said: str) -> None:
    places = Places(out=federation.workspace.root, data=federation.data)
    with pytest.raises(kind, match=said):
        red_team_run("run-1", places, QUIET)


def test_a_run_that_did_not_finish_is_refused(tmp_path: Path) -> None:
    federation = Hospitals(tmp_path, small_study())
    federation.link.lost = lambda _site, request: request.step == "masked"
    with pytest.raises(QuorumLost):
        federation.run()
    refused(federation, WorkspaceRefused, "is running: only a finished run is attacked")


def test_a_run_without_a_claim_is_refused(tmp_path: Path) -> None:
    federation = Hospitals(tmp_path, small_study(), fixed_noise=1)
    federation.finish()
    said = r"claims no privacy \(east signed noise: fixed test noise\)"
    refused(federation, StudyRefused, said)


def test_other_records_than_the_runs_are_refused(tmp_path: Path) -> None:
    federation = made(tmp_path, small_study())
    write_hospitals(federation.data, small_study(), patients=36)
    refused(federation, WorkspaceRefused, "give the records that the run was made with")


def test_records_that_were_never_trained_on_are_refused_also_of_as_many_patients(
    tmp_path: Path,
) -> None:
    """An attack on them would find nothing, and pass the gates of a model that leaks."""
    federation = made(tmp_path, small_study())
    lines = (federation.data / "east.csv").read_text().splitlines()
    older = [f"{float(age) + 1},{rest}" for age, rest in (one.split(",", 1) for one in lines[1:])]
    (federation.data / "east.csv").write_text("\n".join([lines[0], *older]) + "\n")
    refused(federation, WorkspaceRefused, r"east\.csv is not the file that the run read")


def test_a_split_that_swaps_training_and_test_patients_is_refused(tmp_path: Path) -> None:
    study = read_study(
        changed("method: keyed_hash, test_fraction: 0.3", "method: file, file: a.csv")
    )
    manifest = SimpleNamespace(files=(DataFile(name="a.csv", digest=digest(b"as it was")),))
    redteam_run._require_same_files(manifest, study, b"as it was", None)
    with pytest.raises(WorkspaceRefused, match="is not the split that the run read"):
        redteam_run._require_same_files(manifest, study, b"swapped", None)


def test_a_run_with_an_index_file_says_what_to_give(tmp_path: Path) -> None:
    study = read_study(
        changed("method: keyed_hash, test_fraction: 0.3", "method: file, file: a.csv")
    )
    with pytest.raises(StudyRefused, match="stands in a.csv.*name that folder with --beside"):
        redteam_run._index_file(study, Places(out=tmp_path))
    (tmp_path / "a.csv").write_bytes(b"site,row,part")
    places = Places(out=tmp_path, beside=tmp_path)
    assert redteam_run._index_file(study, places) == b"site,row,part"


@pytest.mark.long
def test_the_command_takes_a_run_by_the_beginning_of_its_name(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    federation = made(tmp_path, small_study())
    out = federation.workspace.root
    page = tmp_path / "page"
    words = ["run", "--out", out, "--data", federation.data, "--to", page, "--json"]
    monkeypatch.setattr(sys, "argv", ["collegium", "redteam", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["run"] == "run-1"
    assert (page / "redteam.html").is_file()


def test_the_command_says_what_it_wants_when_neither_study_nor_run_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["collegium", "redteam", "x.yaml", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "x.yaml is no study document, and --out" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--stand-in"], ["--beside", "."]])
def test_options_of_a_run_are_refused_where_a_study_is_attacked(
    tmp_path: Path, option: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "study.yaml").write_text("collegium: 1\n")
    words = ["redteam", str(tmp_path / "study.yaml"), "--out", str(tmp_path), *option]
    monkeypatch.setattr(sys, "argv", ["collegium", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "are of a run, and" in capsys.readouterr().err
