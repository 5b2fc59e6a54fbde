"""A statistics study from records to released figures, over the same way as any evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest

from compliance.governance.promise_check import require_promised
from compliance.ledger.entries import State
from coordinator.database.store import ReleaseRow
from coordinator.evaluation.released import released_from
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import open_summary
from protocol.transport.steps import Request
from protocol.vectors.tensors import model_digest
from silos.training.counting.column_trainer import ColumnTrainer
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import STATISTICS_STUDY

WITHOUT_NOISE = STATISTICS_STUDY.replace(
    "{mode: per_site, epsilon: 4, delta: 1e-3, sampling_rate: 1.0}",
    "{mode: none, sampling_rate: 1.0}",
)
#: Ages and wards of every patient of all four hospitals; None is missing.
PATIENTS = [
    (None if n % 10 == 0 else float(20 + n % 60), None if n % 16 == 1 else "ABC"[n % 3])
    for n in range(160)
]


def write_records(folder: Path, study: Study) -> None:
    for place, site in enumerate(study.site_names):
        lines = ["age,ward,patient,ill"]
        for n, (age, ward) in enumerate(PATIENTS[place::4]):
            lines.append(f"{'' if age is None else age},{ward or ''},{n},{n % 2}")
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")


def federation(folder: Path, text: str = STATISTICS_STUDY) -> Federation:
    return Federation(folder, read_study(text), trainer=ColumnTrainer, write=write_records)


def test_without_noise_the_figures_are_those_of_all_patients_in_one_place(tmp_path: Path) -> None:
    hospitals = federation(tmp_path, WITHOUT_NOISE)
    outcome = hospitals.run()
    released = outcome.released
    ages = np.array([age for age, _ in PATIENTS if age is not None])
    wards = [ward for _, ward in PATIENTS if ward is not None]
    assert released.figures["patients"].value == 160
    age, ward, ill = released.columns
    assert age.patients.value == len(ages)
    assert age.missing.value == pytest.approx(1 - len(ages) / 160)
    assert age.mean is not None and age.deviation is not None
    assert age.mean.value == pytest.approx(ages.mean(), abs=0.01)
    assert age.deviation.value == pytest.approx(ages.std(), abs=0.05)
    counts, _ = np.histogram(ages, bins=4, range=(0, 120))
    shown = [share.value for share in age.shares]
    assert shown == [count / len(ages) if count >= 10 else None for count in counts]
    assert ward.mean is None
    assert [s.value for s in ward.shares] == [wards.count(w) / len(wards) for w in "ABC"]
    assert [share.value for share in ill.shares] == [0.5, 0.5]
    assert {site: f["patients"].value for site, f in released.sites.items()} == dict.fromkeys(
        hospitals.study.site_names, 40
    )


def test_there_is_one_round_and_no_model(tmp_path: Path) -> None:
    hospitals = federation(tmp_path)
    outcome = hospitals.run()
    assert [kind for kind, _, _ in hospitals.watch.rounds] == ["evaluation"]
    assert outcome.model == {}
    assert outcome.model_digest == model_digest({})
    with hospitals.store.read() as session:
        rows = session.query(ReleaseRow).filter_by(kind="evaluation").all()
    assert released_from(json.loads(rows[0].payload_json)) == outcome.released


def test_every_patient_pays_once_in_both_budgets_before_the_first_byte_leaves(
    tmp_path: Path,
) -> None:
    hospitals = federation(tmp_path)
    ledger, sent = hospitals.silos["east"]._ledger, {}

    def states() -> list[State]:
        with ledger._storage.transaction() as chain:
            return [entry.state for entry in chain.entries()]

    def look(site: str, request: Request) -> bool:
        if site == "east":
            sent[request.step] = states().count(State.SENT)
        return False

    hospitals.link.lost = look
    hospitals.run()
    assert sent == {"advertise": 0, "share": 0, "masked": 0, "consistency": 1, "unmask": 1}
    assert states() == [State.RESERVED, State.SENT]
    balance = ledger.summary()
    assert balance.together
    assert balance.of("training").spent > 0
    said = open_summary(hospitals.signed_summaries["east"], hospitals.roster.key_of("east"))
    assert said.epsilon == said.evaluation_epsilon == pytest.approx(4, abs=0.01)
    assert (said.sides, said.steps, said.priced_steps, said.priced_evaluations) == (
        "together",
        0,
        1,
        1,
    )
    require_promised(hospitals.study, said, test_noise=False, priced=True)
