"""A red team on candidates: a model that was learned by heart is kept back, a private one goes on.

Hospitals, coordinator, training and attack are real; only the line between them is in memory.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from coordinator.audit.verification import verify_records
from coordinator.rounds.run_records import RunRecord
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.hospital.people import BEA, CLEO, People, write_key_file
from tests.support.simulated.federation import MemoryLink, Watch
from tests.unit.collegium.redteam.test_redteam_run import Hospitals, hurry

COLUMNS = 32
SITES = ("east", "north", "south")
HEARTS = ("model", "hearts")
PRIVATE = """\
collegium: 1
name: by-heart
title: Labels that can only be learned by heart
purpose: To be tested.
cohort:
  kind: table
  patient_key: patient
  label: {column: ill, positive: [1], negative: [0]}
  min_patients: 4
  columns:
COLUMNS
    - {name: patient, kind: other}
    - {name: ill, kind: other}
sites:
  - {name: east, records: east.csv, patients: 50}
  - {name: north, records: north.csv, patients: 50}
  - {name: south, records: south.csv, patients: 50}
split: {method: keyed_hash, test_fraction: 0.5}
task:
  network: {_target_: FullyConnectedNet, hidden_channels: [32]}
training: {rounds: 2, local_steps: 4, learning_rate: 0.5, micro_batch: 64}
privacy: {mode: per_site, epsilon: 1, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}
aggregation: {threshold: 3, colluders: 1}
evaluation: {bins: 8}
seeds: {model: 1, split: 1}
""".replace(
    "COLUMNS",
    "\n".join(
        f"    - {{name: x{place}, kind: number, range: [-9, 9], centre: 0, scale: 1}}"
        for place in range(COLUMNS)
    ),
)
LEAKING = PRIVATE.replace(
    "mode: per_site, epsilon: 1, delta: 1e-3, clip: 1.0", "mode: none"
).replace("rounds: 2, local_steps: 4", "rounds: 4, local_steps: 80, momentum: 0.9")


def write_drawn(folder: Path, study: Study) -> None:
    """Writes patients whose labels have nothing to do with their columns."""
    for place, site in enumerate(study.site_names):
        random = np.random.default_rng(place)
        lines = [",".join([*(f"x{one}" for one in range(COLUMNS)), "patient", "ill"])]
        for patient in range(80):
            cells = [f"{value:.3f}" for value in random.normal(size=COLUMNS)]
            lines.append(",".join([*cells, f"{site}-{patient}", str(int(random.random() < 0.5))]))
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")


class Consortium(Hospitals):
    """Three hospitals with the real trainer, a run of theirs, and people with keys in files."""

    def __init__(self, folder: Path, run_id: str, text: str) -> None:
        super().__init__(folder, read_study(text), write=write_drawn)
        self.folder, self.out = folder, self.workspace.root
        self.made(run_id, read_study(text))
        self.people = People.over(self.store, self.workspace.signing_key())
        self.people.found()
        self.lead = write_key_file(self.people.key(CLEO), folder / "lead.key")

    def made(self, run_id: str, study: Study) -> None:
        """Runs a study to its end."""
        self.study, self.run_id = study, run_id
        self.invitation = replace(self.invitation, study=study, run_id=run_id)
        self.link, self.watch = MemoryLink(self.silos), Watch()
        key = self.workspace.signing_key()
        outcome = self.run()
        RunRecord(self.store, key, self.roster, study, run_id).finish(outcome, None)

    def told(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Returns what a command of a model tells as JSON."""
        given = ["models", *words, "--out", str(self.out), "--json"]
        done = CliRunner().invoke(cli.app, given)
        assert done.exit_code == code and done.stdout, (done.output, done.exception)
        return dict(json.loads(done.stdout))

    def acts(self, *words: str) -> dict[str, Any]:
        """Returns what an act of the lead came to."""
        return self.told(*words, "--as", str(self.lead))


@pytest.fixture
def consortium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Consortium]:
    hurry(monkeypatch)
    made = Consortium(tmp_path, *request.param)
    made.acts("register", "hearts", made.run_id, "--margin", "1", "--no-canary-evaluation")
    yield made
    made.close()


@pytest.mark.parametrize("consortium", [("leaks", LEAKING)], indirect=True)
def test_a_model_that_learned_by_heart_is_kept_back(consortium: Consortium) -> None:
    data = str(consortium.data)
    attacked = consortium.told("attack", "hearts", "leaks", "--data", data, code=1)
    found = {one["name"]: one for one in attacked["attacks"]}
    assert found["advantage"]["low"] > 0.15 and found["own-records"]["low"] > 0.5
    assert "nothing is claimed" in found["epsilon"]["missing"]
    assert {gate["name"]: gate["result"] for gate in attacked["gates"]} == {
        "red-team": "failed", "extraction": "failed"
    }  # fmt: skip
    with pytest.raises(PolicyRefused, match="privacy failed.*red-team failed.*extraction failed"):
        consortium.people.act(CLEO, "model.canary", HEARTS, {"version": "leaks", "sites": SITES})
    (version,) = consortium.told("show", "hearts")["versions"]
    assert version["stage"] == "candidate" and version["attacks"] == attacked["attacks"]
    given = ["redteam", "leaks", "--out", str(consortium.out), "--stand-in"]
    refused = CliRunner().invoke(cli.app, given).exception
    assert "is a simulation, whose own model is attacked" in str(refused)
    with consortium.store.read() as session:
        verify_records(session, consortium.workspace.public_key())


@pytest.mark.long
@pytest.mark.parametrize("consortium", [("private", PRIVATE)], indirect=True)
def test_a_private_model_passes_and_is_promoted(consortium: Consortium) -> None:
    attacked = consortium.told("attack", "hearts", "private", "--data", str(consortium.data))
    found = {one["name"]: one for one in attacked["attacks"]}
    assert found["advantage"]["low"] < 0.1 and found["inserted"]["low"] < 0.5
    assert {gate["result"] for gate in attacked["gates"]} == {"passed"}
    consortium.acts("canary", "hearts", "private", "--site", "east")
    change = consortium.acts("promote", "hearts", "private")["change"]
    consortium.people.confirm(BEA, change)
    (version,) = consortium.told("show", "hearts")["versions"]
    assert version["stage"] == "production"
