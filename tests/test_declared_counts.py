"""Nothing that leaves a hospital tells how many patients it has: only how many it declares."""

import math
from pathlib import Path

import numpy as np
import pytest

from collegium.cli import main
from pipelines.records import Records
from protocol.study import Study
from protocol.study_file import read_study
from silos.entropy import SecretEntropy
from silos.privacy_plan import PrivacyPlan
from silos.trainer import Trainer
from tests.federation import write_hospitals
from tests.studies import TABLE_STUDY, changed

DECLARED = 240
WIDE = (
    changed("hidden: [4]", "hidden: [200, 200]")
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
    updates = [trainer.update(model, number, 0, z, SecretEntropy()) for number in range(6)]
    deviation = math.sqrt(np.square(updates).mean())
    privacy, training = study.privacy, study.training
    return training.learning_rate * z * privacy.clip / privacy.sampling_rate / deviation


@pytest.mark.parametrize("count", [143, 239])
def test_number_of_patients_cannot_be_read_off_the_updates(count: int) -> None:
    """41,201 numbers six times give the divisor to 0.3 %: it must be the public one."""
    assert read_off_the_noise(read_study(WIDE), count) == pytest.approx(DECLARED, rel=0.01)


@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_check_of_a_study_says_beforehand_that_a_hospital_is_larger_than_declared(
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = TABLE_STUDY.replace("east.csv, patients: 40", "east.csv, patients: 20")
    if mode == "distributed":
        text = text.replace("mode: local,", "mode: distributed, noise_multiplier: 4,").replace(
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
