"""What a hospital may choose for its own patients: smaller epsilon, other unit."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from collegium.studies.preflight import check_records
from compliance.ledger.privacy_plan import PrivacyPlan
from pipelines.records import Records
from protocol.errors import LedgerBroken, PolicyRefused, StudyRefused
from protocol.identity.roster import SigningKey
from protocol.study.privacy import DistributedPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import Summary, open_summary, sign_summary
from silos.rounds.openings.rollback_evidence import SignedLedgerHeads
from silos.rounds.silo import Silo
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import TABLE_STUDY, changed

EAST = "{name: east, records: east.csv, patients: 40"
PRIVACY = "privacy: {mode: per_site, epsilon: 4, "


def with_choice(choice: str, text: str = TABLE_STUDY) -> Study:
    return read_study(text.replace(EAST, f"{EAST}, {choice}"))


def plan_at(study: Study, site: str) -> PrivacyPlan:
    plan = PrivacyPlan.at(study, site)
    assert plan is not None
    return plan


def test_smaller_epsilon_of_one_hospital_makes_its_own_noise_larger() -> None:
    study = with_choice("epsilon: 1")
    east, north = plan_at(study, "east"), plan_at(study, "north")
    assert east.epsilon <= 1 < north.epsilon <= 4
    assert east.training.noise_multiplier > 2 * north.training.noise_multiplier
    assert east.evaluation_epsilon <= 1 < north.evaluation_epsilon <= 4


def test_sampling_rate_of_one_hospital_sets_its_own_price() -> None:
    study = with_choice("epsilon: 1, sampling_rate: 0.25")
    plan = plan_at(study, "east")
    assert plan.training.sampling_rate == 0.25
    assert (
        plan.training.noise_multiplier
        < plan_at(with_choice("epsilon: 1"), "east").training.noise_multiplier
    )


def test_larger_epsilon_than_the_studys_is_refused() -> None:
    with pytest.raises(StudyRefused, match="east promises epsilon 5, more than the study's 4"):
        with_choice("epsilon: 5")


SHARED = TABLE_STUDY.replace(
    PRIVACY, "privacy: {mode: distributed, noise_multiplier: 4, epsilon: 4, "
).replace("rounds: 2, local_steps: 2", "strategy: fedsgd, rounds: 2, local_steps: 1")


def test_under_shared_noise_a_smaller_epsilon_needs_a_smaller_rate() -> None:
    privacy = with_choice("epsilon: 1", SHARED).privacy_of("east")
    assert isinstance(privacy, DistributedPrivacy) and privacy.noise_multiplier == 4
    with pytest.raises(StudyRefused, match="more than the 1 promised.*or lower the site's"):
        plan_at(with_choice("epsilon: 1", SHARED), "east")
    assert plan_at(with_choice("epsilon: 1, sampling_rate: 0.1", SHARED), "east").epsilon <= 1


def test_run_books_and_signs_each_hospitals_own_epsilon(tmp_path: Path) -> None:
    federation = Federation(tmp_path, with_choice("epsilon: 1"))
    words = federation.join()
    assert words["east"].epsilon is not None and words["east"].epsilon <= 1
    assert words["north"].epsilon is not None and words["north"].epsilon > 1
    booked = {site: silo._ledger.summary().partitions for site, silo in federation.silos.items()}
    assert booked["east"][0].reserved < booked["north"][0].reserved


def test_record_unit_counts_every_record_as_a_patient_of_its_own() -> None:
    records = Records(
        features=np.zeros((3, 1), dtype=np.float32),
        labels=np.zeros(3, dtype=np.float32),
        patients=np.array([0, 0, 1]),
        patient_keys=("a", "b"),
        rows=np.array([4, 5, 6]),
    )
    assert records.apart().num_patients == 3
    assert records.apart().digest != records.digest


def test_budget_for_patients_refuses_a_study_about_records(tmp_path: Path) -> None:
    study = read_study(changed(PRIVACY, f"{PRIVACY}unit: record, "))
    federation = Federation(tmp_path, study)
    with pytest.raises(
        PolicyRefused, match="protects each record, this hospital's budget each pat"
    ):
        federation.join()


def test_budget_keeps_its_unit_for_life(tmp_path: Path) -> None:
    silo = Silo("east", tmp_path, LinearTrainer, simulated=True)
    silo.grant(4, 1e-3, "record")
    with pytest.raises(PolicyRefused, match="for each record; it cannot become one for each pat"):
        silo.grant(4, 1e-3, "patient")
    Silo("east", tmp_path, LinearTrainer, simulated=True)  # the chain holds with that unit


def test_record_level_run_says_so(tmp_path: Path) -> None:
    study = read_study(changed(PRIVACY, f"{PRIVACY}unit: record, "))
    federation = Federation(tmp_path, study)
    for silo in federation.silos.values():
        silo._ledger.require_unit = lambda _unit: None  # type: ignore[method-assign]
    assert {word.unit for word in federation.join().values()} == {"record"}


def settled(federation: Federation, site: str) -> tuple[Summary, SignedLedgerHeads]:
    """What a site signs at the end of a run, as the consortium keeps it."""
    word = federation.silos[site].leave(federation.run_id)
    summary = open_summary(word, federation.roster.key_of(site))
    return summary, SignedLedgerHeads(summaries=(word,))


def test_hospital_with_an_older_ledger_than_it_signed_does_not_start(tmp_path: Path) -> None:
    study = read_study(TABLE_STUDY)
    federation = Federation(tmp_path, study)
    east = federation.silos["east"]
    database = federation.workspace.silos / "east" / "hospital.db"
    heads = database.parent / "hospital-heads" / "east.ledger"
    east._database.close()
    before, listed = database.read_bytes(), heads.read_bytes()
    east = federation.silos["east"] = Silo("east", database.parent, LinearTrainer, simulated=True)
    federation.run()
    _, words = settled(federation, "east")
    east._database.close()
    database.write_bytes(before)  # yesterday's backup
    with pytest.raises(LedgerBroken, match="went back in time"):
        Silo("east", database.parent, LinearTrainer, simulated=True)
    heads.write_bytes(listed)  # of the whole folder, against the rule
    restored = Silo("east", database.parent, LinearTrainer, simulated=True)
    again = federation.invitation.__class__(
        **{**vars(federation.invitation), "run_id": "run-2", "signed_heads": words}
    )
    with pytest.raises(LedgerBroken, match="went back in time"):
        restored.join(again)


def test_words_that_somebody_else_signed_stop_nobody(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(TABLE_STUDY))
    summary = federation.join()["east"]
    forged = sign_summary(
        Summary(**{**vars(summary), "ledger_head": "f" * 64}), SigningKey.generate()
    )
    words = SignedLedgerHeads(summaries=(forged,), masked=(b"no message",))
    own = federation.silos["east"].member
    assert words.ledger_heads(own.site, [own.public_key]) == ()


def test_preflight_counts_the_unit_that_the_hospitals_will_protect(tmp_path: Path) -> None:
    text = (
        changed(PRIVACY, f"{PRIVACY}unit: record, ")
        .replace("  min_patients: 4\n", "  min_patients: 4\n  max_records_per_patient: 9\n")
        .replace("patients: 40}", "patients: 140}")
    )
    for site in read_study(text).site_names:
        lines = [f"{30 + row % 80},A,{site}-{row // 2},{row // 2 % 2}" for row in range(160)]
        (tmp_path / f"{site}.csv").write_text("\n".join(["age,ward,patient,ill", *lines]) + "\n")
    console = Console(stderr=True)
    by_record = check_records(read_study(text), tmp_path, tmp_path, console)["sites"]["east"]
    by_patient = check_records(
        read_study(text.replace("unit: record, ", "")), tmp_path, tmp_path, console
    )["sites"]["east"]
    assert by_record["train"]["patients"] + by_record["test"]["patients"] == 160
    assert by_patient["train"]["patients"] + by_patient["test"]["patients"] == 80
