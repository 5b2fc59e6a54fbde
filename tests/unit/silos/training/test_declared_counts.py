"""Nothing that leaves a hospital tells how many patients it has: only how many it declares."""

import math
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from collegium.cli.main import main
from collegium.simulation.settings import simulated_split_key
from collegium.studies.preflight import check_records
from compliance.ledger.privacy_plan import PrivacyPlan
from pipelines.records import Records
from protocol.errors import CohortRefused
from protocol.identity.roster import Member, SigningKey
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.database.database import open_hospital
from silos.rounds.invitation import Invitation
from silos.rounds.silo import Silo
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.trainer import Trainer
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.rosters import COORDINATOR_KEY, roster_with
from tests.support.hospital.sites import changed_site
from tests.support.networked.joining import joined
from tests.support.simulated.federation import LinearTrainer, write_hospitals
from tests.support.simulated.studies import TABLE_STUDY, changed

DECLARED = 240
WIDE = (
    changed("hidden_channels: [4]", "hidden_channels: [200, 200]")
    .replace("patients: 40", f"patients: {DECLARED}")
    .replace("local_steps: 2", "local_steps: 1")
    .replace("sampling_rate: 1.0", "sampling_rate: 0.1")
)


def patients_of(study: Study, count: int) -> Records:
    generator = np.random.default_rng(count)
    return Records(
        features=generator.normal(size=(count, 3)).astype(np.float32),
        labels=(generator.random(count) < 0.5).astype(np.float32),
        patients=np.arange(count),
        patient_keys=tuple(f"p{number}" for number in range(count)),
        rows=np.arange(count),
    )


def read_off_the_noise(study: Study, count: int) -> float:
    """Estimates the number of patients from the noise's scale in six updates (all else is public).

    A coordinate of an update is (signal + z x clip x noise) x rate of learning / (q x N).
    """
    records = patients_of(study, count)
    plan, trainer = PrivacyPlan.at(study, "east"), Trainer(study, "east", records, records)
    assert plan is not None
    z, model = plan.training.noise_multiplier, trainer.initial_model()
    updates = [
        trainer.update(
            RoundInput(model=model, number=number, noise_multiplier=z), SecretEntropy()
        ).update
        for number in range(6)
    ]
    deviation = math.sqrt(np.square(updates).mean())
    privacy, training = study.privacy, study.training
    return training.learning_rate * z * privacy.clip / privacy.sampling_rate / deviation


@pytest.mark.parametrize("count", [pytest.param(143, marks=pytest.mark.long), 239])
def test_number_of_patients_cannot_be_read_off_the_updates(count: int) -> None:
    """41,201 numbers six times give the divisor to 0.3 %: it must be the public one."""
    assert read_off_the_noise(read_study(WIDE), count) == pytest.approx(DECLARED, rel=0.01)


@pytest.mark.parametrize("mode", ["per_site", "distributed"])
def test_check_of_a_study_says_beforehand_that_a_hospital_is_larger_than_declared(
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = TABLE_STUDY.replace("east.csv, patients: 40", "east.csv, patients: 20")
    if mode == "distributed":
        text = text.replace("mode: per_site,", "mode: distributed, noise_multiplier: 4,").replace(
            "local_steps: 2,", "local_steps: 1, strategy: fedsgd,"
        )
    (tmp_path / "study.yaml").write_text(text)
    write_hospitals(tmp_path, read_study(text))
    words = ["study", "check", str(tmp_path / "study.yaml"), "--data", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["collegium", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "site east: " in (said := capsys.readouterr().err)
    assert "training patients, the study declares 20 for it" in said


def in_mode(mode: str, text: str) -> str:
    """The small study's text in another mode of privacy."""
    if mode == "distributed":
        text = text.replace("local_steps: 2,", "local_steps: 1, strategy: fedsgd,")
        return text.replace("mode: per_site,", "mode: distributed, noise_multiplier: 4,")
    return text


def refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except CohortRefused as error:
        return str(error)
    return ""


@pytest.mark.parametrize("mode", ["per_site", "distributed"])
def test_silo_check_refuses_exactly_what_the_run_refuses_and_in_its_words(
    mode: str, tmp_path: Path
) -> None:
    """For every declared number around the truth, which differs from key to key."""
    site = changed_site("modes: [per_site]", "modes: [per_site, distributed]")
    home = make_east(tmp_path, site=site, budget=500.0)
    said = set()
    for declared in (20, 28, 40):
        declaring = changed("east.csv, patients: 40", f"east.csv, patients: {declared}")
        text = in_mode(mode, declaring)
        found = check_quickly(home, read_study(text), tmp_path).findings
        names = ("records", "more-patients-than-declared")
        checked = [entry for entry in found if entry.what in names]
        refused = refusal(partial(joined, home, text, f"run-{declared}"))
        forecast = (
            ""
            if checked[0].state == "ok"
            else (f"site east: {checked[0].finding}; {checked[0].remedy} [{checked[0].what}]")
        )
        assert forecast == refused
        said.add(bool(refused))
    assert said == {True, False}


@pytest.mark.parametrize("mode", ["per_site", "distributed"])
def test_study_check_refuses_exactly_what_a_simulated_hospital_refuses(
    mode: str, tmp_path: Path
) -> None:
    said = set()
    for declared in range(20, 41, 4):
        declaring = changed("east.csv, patients: 40", f"east.csv, patients: {declared}")
        study = read_study(in_mode(mode, declaring))
        write_hospitals(tmp_path, study)
        checked = refusal(partial(check_records, study, tmp_path, tmp_path, Console(quiet=True)))
        assert checked == refusal(partial(join_east_alone, study, tmp_path, declared))
        said.add(bool(checked))
    assert said == {True, False}


def join_east_alone(study: Study, data: Path, number: int) -> None:
    home = data / f"home-{number}"
    home.mkdir()
    key = simulated_split_key(study, "east")
    hospital = open_hospital(home / "hospital.db", site="east", split_key=key, simulated=True)
    with closing(hospital):
        silo = Silo("east", home, LinearTrainer, simulated=True, split_key=key, hospital=hospital)
        silo.grant(20.0, 1e-3)
        others = {name: SigningKey.generate().public.hex() for name in ("north", "south", "west")}
        members = [Member(site=name, public_key=public) for name, public in others.items()]
        silo.join(
            Invitation(
                run_id="run-1",
                study=study,
                roster=roster_with([silo.member, *members]),
                coordinator_public=COORDINATOR_KEY.public,
                data=data,
                index_file=None,
            )
        )
