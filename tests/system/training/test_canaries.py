"""A canary is evaluated at its hospitals: a worse one is ended by itself, one that holds goes on.

Hospitals, coordinator, training and evaluation are real; only the line between them is in memory.
"""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.shadow import write_shadow
from compliance.governance.models.gates import GateRules
from compliance.governance.models.stages import EventKind, Stage
from coordinator.audit.faults import Faults
from coordinator.audit.folder_checks import check_files
from coordinator.audit.verification import check_records
from coordinator.database.store import logged_entries
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.snapshots import signed_snapshot_of
from coordinator.rounds.run_records import RunRecord
from pipelines.records import Records
from protocol.encoding import canonical
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from silos.rounds.invitation import Invitation
from silos.rounds.participation import LocalTrainer
from silos.training.counting.model_evaluator import ModelEvaluator
from silos.training.trainer import Trainer
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.hospital.rosters import roster_with
from tests.support.simulated.federation import Federation, MemoryLink, Watch

BUNDLED = Path(__file__).parents[3] / "collegium" / "studies" / "heart_disease"
SITES = ("cleveland", "hungarian", "va")
HEART = ("model", "heart")
RULES = canonical(GateRules(least=0.7, margin=0.2, red_team=False).to_json()).decode()


def heart_study(title: str, rounds: int) -> Study:
    """Returns the bundled study at an epsilon at which so few patients show a difference."""
    text = (BUNDLED / "study.yaml").read_text()
    for old, new in (
        ("title: Angiographic heart disease in four hospitals", f"title: {title}"),
        ("epsilon: 1.0", "epsilon: 30"),
        ("delta: 1.0e-4", "delta: 1.0e-3"),
        ("rounds: 8", f"rounds: {rounds}"),
        ("{bins: 4}", "{bins: 16}"),
    ):
        assert old in text
        text = text.replace(old, new)
    return read_study(text)


def _trainer(study: Study, site: str, train: Records, test: Records) -> LocalTrainer:
    made = Trainer if study.trains else ModelEvaluator
    return made(study, site, train, test)


def _copy_records(folder: Path, study: Study) -> None:
    for file in BUNDLED.glob("*.data"):
        shutil.copy(file, folder)


def _other_way_round(folder: Path) -> Path:
    """Writes the hospitals' records with the diagnosis coded the other way round."""
    folder.mkdir()
    for file in BUNDLED.glob("*.data"):
        lines = []
        for line in file.read_text().splitlines():
            cells, _, diagnosis = line.rpartition(",")
            lines.append(f"{cells},{1 if diagnosis.strip() == '0' else 0}")
        (folder / file.name).write_text("\n".join(lines) + "\n")
    return folder


def spoiled_study(study: Study) -> Study:
    """Returns a study whose columns are scaled otherwise than the model was trained with."""
    said = study.model_dump(mode="json")
    for column in said["cohort"]["columns"]:
        if column["kind"] == "number":
            column["scale"] = 1e6  # every number is about 0
    made = Study.model_validate(said)
    made.attach_from(study)
    return made


class Consortium:
    """Four hospitals, three people, and a register over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        study = heart_study("Heart disease", 1)
        self.federation = Federation(
            folder, study, budget=1000.0, trainer=_trainer, write=_copy_records
        )
        self.out = self.federation.workspace.root
        self.people = People.over(self.federation.store, self.federation.workspace.signing_key())
        self.people.found()

    def run(self, run_id: str, study: Study, data: Path | None = None) -> str:
        """Runs a study at its hospitals to its end; returns the digest of its model."""
        one = copy.copy(self.federation)
        one.study, one.run_id = study, run_id
        one.silos = {site: self.federation.silos[site] for site in study.site_names}
        members = [silo.member for silo in one.silos.values()]
        one.roster = roster_with(members, coordinator=self.federation.roster.coordinator)
        one.invitation = Invitation(
            run_id=run_id,
            study=study,
            roster=one.roster,
            coordinator_public=one.workspace.public_key(),
            data=data or one.data,
            index_file=(BUNDLED / "split.csv").read_bytes(),
            fixed_noise_seed=None,
        )
        one.link, one.watch = MemoryLink(one.silos), Watch()
        outcome = one.run()
        key = one.workspace.signing_key()
        RunRecord(one.store, key, one.roster, study, run_id).finish(outcome, None)
        return outcome.model_digest

    def act(self, action: str, run: str, **details: object) -> dict[str, object]:
        said = {"version": run, **details}
        return self.people.act(CLEO, f"model.{action}", HEART, said)

    def begin_canary(self, run: str) -> None:
        self.act("register", run, rules=RULES)
        self.act("canary", run, sites=SITES)

    def shadow(self, name: str) -> dict[str, Study]:
        """Has the studies of the canary written, and reads them from where they lie."""
        told = write_shadow(self.out, "heart", self.folder / name, BUNDLED / "split.csv")
        return {role: read_study_file(Path(file)) for role, file in told["studies"].items()}

    def promote(self, run: str) -> None:
        change = self.act("promote", run)["change"]
        self.people.confirm(BEA, change)

    def stage(self, run: str) -> Stage:
        with self.federation.store.read() as session:
            signed = signed_snapshot_of(session, run)
            assert signed is not None
            return line_of(session, "heart").state.stages[signed.snapshot.digest]


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    made = Consortium(tmp_path)
    yield made
    made.federation.close()


def test_a_worse_canary_is_ended_by_itself_and_a_good_one_is_promoted(
    consortium: Consortium, tmp_path: Path
) -> None:
    good = consortium.run("good", consortium.federation.study)
    consortium.begin_canary("good")
    with pytest.raises(PolicyRefused, match="canary is open: the canary was not evaluated at clev"):
        consortium.promote("good")
    studies = consortium.shadow("first")
    assert set(studies) == {"canary"}  # nothing is in production to compare with
    assert studies["canary"].site_names == SITES
    assert consortium.run("good-tried", studies["canary"]) == good
    consortium.promote("good")

    # Trained where the diagnosis was coded the other way round: its own figures are fine.
    data = _other_way_round(tmp_path / "coded")
    bad = consortium.run("coded", heart_study("Heart disease, coded otherwise", 1), data)
    consortium.begin_canary("coded")
    studies = consortium.shadow("second")
    assert consortium.run("coded-tried", studies["canary"]) == bad
    assert consortium.stage("coded") is Stage.CANARY  # what is in production was not evaluated yet
    # The same parameters, given records that they were not trained for, are worse than they are.
    spoiled = spoiled_study(studies["production"])
    assert consortium.run("good-spoiled", spoiled) == good
    assert consortium.stage("coded") is Stage.CANARY
    with pytest.raises(PolicyRefused, match="canary is open"):
        consortium.promote("coded")
    # Nor does it count where both are tested on patients of another split.
    for role, study in studies.items():
        consortium.run(
            f"other-{role}", study.replaced(seeds=study.seeds.model_copy(update={"split": 7}))
        )
    assert consortium.stage("coded") is Stage.CANARY
    assert consortium.run("good-beside", studies["production"]) == good
    assert consortium.stage("coded") is Stage.CANDIDATE
    assert consortium.stage("good") is Stage.PRODUCTION

    consortium.run("better", heart_study("Heart disease, longer", 2))
    consortium.begin_canary("better")
    studies = consortium.shadow("third")
    consortium.run("good-beside-better", studies["production"])
    consortium.run("better-tried", studies["canary"])
    consortium.promote("better")
    assert consortium.stage("better") is Stage.PRODUCTION

    with consortium.federation.store.read() as session:
        events = line_of(session, "heart").events
        entries = list(logged_entries(session))
        logged = [entry.content.type for entry in entries]
        faults = Faults()
        workspace = consortium.federation.workspace
        check_records(session, workspace.public_key(), faults)
        check_files(session, workspace, workspace.public_key(), entries, faults)
    tried = [EventKind.REGISTERED, EventKind.CANARY_BEGUN, EventKind.CANARY_EVALUATED]
    assert [event.kind for event in events] == [
        *tried, EventKind.PROMOTED,
        EventKind.REGISTERED, EventKind.CANARY_BEGUN, EventKind.CANARY_ENDED,
        *tried, EventKind.PROMOTED,
    ]  # fmt: skip
    ended = events[6]
    assert ended.by == ""
    assert "regression: -0." in ended.reason
    assert "(runs coded-tried, good-beside)" in ended.reason
    assert [kind for kind in logged if kind.startswith("model-canary-e")] == [
        "model-canary-evaluated", "model-canary-ended", "model-canary-evaluated"
    ]  # fmt: skip
    assert not [fault.what for fault in faults.found if "model" in fault.what]
    shown = CliRunner().invoke(cli.app, ["models", "show", "heart", "--out", str(consortium.out)])
    assert shown.exit_code == 0
    assert "canary-ended" in shown.stdout
    assert f"the coordinator, by its rule: {ended.reason}" in shown.stdout
