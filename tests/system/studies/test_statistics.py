"""A statistics study from records to released figures, over the same way as any evaluation."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from collegium.output.console import console
from collegium.simulation.sweeps.grid import Grid, plan_jobs
from collegium.studies.planning.plan import plan_study
from collegium.studies.question import PlanOptions
from compliance.governance.promise_check import require_promised
from compliance.ledger.entries import State
from coordinator.database.store import ReleaseRow
from coordinator.rounds.evaluation.released import released_from, released_json
from coordinator.views.views import open_views
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import open_summary
from protocol.transport.steps import Request
from protocol.vectors.tensors import model_digest
from silos.results.kept_models import model_file
from silos.training.counting.column_trainer import ColumnTrainer
from tests.support.networked.network import Network
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


def test_it_is_refused_where_models_are_compared_or_planned() -> None:
    study = read_study(STATISTICS_STUDY)
    with pytest.raises(StudyRefused, match="a sweep compares models"):
        plan_jobs([study], Grid(epsilons=(1.0,), seeds=(1,)))
    with pytest.raises(StudyRefused, match="trains nothing: collegium study check"):
        plan_study(study, PlanOptions(), console())


def test_there_is_one_round_and_no_model(tmp_path: Path) -> None:
    hospitals = federation(tmp_path)
    outcome = hospitals.run()
    assert [kind for kind, _, _ in hospitals.watch.rounds] == ["evaluation"]
    assert outcome.model == {}
    assert outcome.model_digest == model_digest({})
    with hospitals.store.read() as session:
        row = session.query(ReleaseRow).filter_by(kind="evaluation").one()
    said = json.loads(row.payload_json)
    assert released_from(said) == outcome.released
    assert released_json(outcome.released) == said  # as whoever recomputes the round compares


def test_the_empty_model_that_runs_share_is_described_alike_by_all_of_them(tmp_path: Path) -> None:
    hospitals = federation(tmp_path)
    name = hospitals.run().model_digest
    beside = json.loads((hospitals.workspace.snapshots / f"{name}.json").read_text())
    assert set(beside) == {"model_digest", "file_sha256"}


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
    assert sent.pop("cosign") == 0
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


@pytest.mark.long
def test_a_network_releases_what_one_process_does_and_leaves_no_model_behind(
    tmp_path: Path,
) -> None:
    study = read_study(STATISTICS_STUDY)
    (tmp_path / "one").mkdir()
    alone = Federation(
        tmp_path / "one", study, fixed_noise=study.seeds.model, trainer=ColumnTrainer
    ).run()
    network = Network(tmp_path, study)
    for site in network.sites.values():
        site.make_trainer = ColumnTrainer
    with network.serving():
        network.start_sites()
        run = network.run()
    row = network.row(run)
    assert row.state == "finished", row.failure
    assert not [site.failures for site in network.sites.values() if site.failures]
    with closing(open_views(network.home)) as views:
        dossier = views.dossier(run)
    assert dossier.columns == alone.released.columns
    assert dossier.released == alone.released.figures
    assert not dossier.exact_columns
    assert not any(model_file(site.home, run) for site in network.sites.values())
