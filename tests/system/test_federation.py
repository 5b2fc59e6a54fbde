"""What a whole run does, over the real interfaces: silos, link, coordinator, store."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from compliance.ledger.entries import State
from protocol.encoding import blob_digest
from protocol.errors import BudgetSpent, CohortRefused, PolicyRefused, QuorumLost
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from protocol.vectors.tensors import encode_tensors, flatten
from silos.training.randomness import RoundInput
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import changed, small_study


def test_a_run_learns_and_releases_figures(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    outcome = federation.run()
    assert np.abs(flatten(outcome.model)).max() > 0.1
    assert (
        outcome.released.figures["auroc"].value is None
        or outcome.released.figures["auroc"].value > 0.4
    )
    assert [(round_kind, number) for round_kind, number, _ in federation.watch.rounds] == [
        ("training", 0), ("training", 1), ("evaluation", 2)
    ]  # fmt: skip


def test_the_secure_mean_equals_the_mean_in_the_clear(tmp_path: Path) -> None:
    study = read_study(
        changed(
            "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
            "{mode: none, sampling_rate: 1.0}",
        )
    )
    federation = Federation(tmp_path, study)
    outcome = federation.run()
    trainers = [silo.simulated_part("run-1") for silo in federation.silos.values()]
    model = {name: value.astype(np.float64) for name, value in trainers[0].initial_model().items()}
    for number in range(study.training.rounds):
        updates = [
            trainer.update(
                RoundInput(model=model, number=number, noise_multiplier=None), None
            ).update
            for trainer in trainers
        ]
        mean = np.mean(updates, axis=0)
        model = {"bias": model["bias"] + mean[:1], "weight": model["weight"] + mean[1:]}
    np.testing.assert_allclose(
        flatten(outcome.model), np.concatenate([model["bias"], model["weight"]]), atol=1e-5
    )


@pytest.mark.parametrize("seed", short_form(range(3), 3))
def test_the_order_of_answers_does_not_change_the_model(tmp_path: Path, seed: int) -> None:
    digests = set()
    for name, order in (("a", sorted), ("b", lambda sites: random.Random(seed).sample(sites, 4))):
        (tmp_path / name).mkdir()
        federation = Federation(tmp_path / name, small_study(), fixed_noise=seed)
        federation.link.order = order
        digests.add(federation.run().model_digest)
    assert len(digests) == 1


def test_without_fixed_noise_two_runs_differ(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        digests.add(Federation(tmp_path / name, small_study()).run().model_digest)
    assert len(digests) == 2


def test_what_leaves_a_silo_is_uniform(tmp_path: Path) -> None:
    study = read_study(changed("bins: 8", "bins: 256"))
    federation = Federation(tmp_path, study)
    federation.run()
    blobs = [reply.blob or b"" for _, step, reply in federation.link.seen if step == "masked"]
    assert len(blobs) == 12
    counts = np.bincount(np.frombuffer(b"".join(blobs), dtype=np.uint8), minlength=256)
    expected = counts.sum() / 256
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(1 - 1e-6, 255)


def test_nothing_but_signed_messages_and_masked_blobs_leaves_a_silo(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    outcome = federation.run()
    updates = encode_tensors(outcome.model)
    for _, step, reply in federation.link.seen:
        assert (reply.blob is not None) == (step in ("share", "masked"))
        assert updates not in reply.message
        assert len(reply.message) < 5000


def test_every_blob_that_left_was_sent_in_the_ledger_before(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    for site, silo in federation.silos.items():
        left = {
            blob_digest(reply.blob or b"")
            for where, step, reply in federation.link.seen
            if where == site and step == "masked"
        }
        with silo._database.transaction() as guard:
            sent = {entry.blob for entry in guard.entries() if entry.state is State.SENT}
        assert left == sent


def test_a_silo_that_vanishes_after_sharing_does_not_stop_the_run(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.link.lost = lambda site, request: site == "west" and request.step == "masked"
    federation.run()
    assert {survivors for _, _, survivors in federation.watch.rounds} == {
        ("east", "north", "south")
    }


def test_too_few_silos_end_the_run_and_what_was_sent_stays_paid(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.link.lost = lambda site, request: (
        site in ("west", "north") and request.step == "consistency"
    )
    with pytest.raises(QuorumLost, match="training round 1"):
        federation.run()
    for silo in federation.silos.values():
        silo.leave("run-1")
        training = silo._ledger.summary().of("training")
        assert training.spent > 0
        assert training.reserved == pytest.approx(0)


def test_a_study_over_budget_is_refused_before_any_work(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study(), budget=1.0)
    made = []

    def counting(*parts: object) -> LinearTrainer:
        made.append(parts)
        return LinearTrainer(*parts)  # type: ignore[arg-type]

    silo = federation.silos["east"]
    silo._make_trainer = counting
    with pytest.raises(BudgetSpent, match="site east: .*budget does not suffice"):
        silo.join(federation.invitation)
    assert made == []
    assert silo._ledger.summary().of("training").committed == 0


def test_a_refusal_crosses_the_border_as_its_class_only(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    request = Request(run_id="unknown", step="advertise", message=b"")
    reply = federation.silos["east"].answer(request)
    assert (reply.refusal, reply.message, reply.blob) == ("PolicyRefused", b"", None)
    assert "has not joined" in str(federation.silos["east"].reason("unknown"))


def test_a_real_silo_refuses_fixed_noise_and_studies_without_privacy(tmp_path: Path) -> None:
    from silos.config.study_authorization import StudyTerms
    from silos.rounds.silo import Silo

    federation = Federation(tmp_path, small_study(), fixed_noise=1)
    real = Silo(
        "east",
        tmp_path / "real",
        LinearTrainer,
        simulated=False,
        authorization=lambda _study: StudyTerms(runs=1, source=None),
    )
    real.grant(20.0, 1e-3)
    with pytest.raises(PolicyRefused, match="fixed test noise protects nobody"):
        real.join(federation.invitation)
    chosen = replace(federation.invitation, fixed_noise_seed=None, split_key=bytes(32))
    with pytest.raises(PolicyRefused, match="splits its patients by its own key, for life"):
        real.join(chosen)
    with pytest.raises(PolicyRefused, match="exact figures never leave"):
        real.simulated_part("run-1")


def test_records_that_do_not_fit_are_refused_with_their_place(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    path = federation.data / "east.csv"
    header, first, *others = path.read_text().splitlines()
    path.write_text("\n".join([header, f"old{first}", *others]))
    with pytest.raises(CohortRefused, match="east.*age.*line") as refusal:
        federation.silos["east"].join(federation.invitation)
    assert "old" not in str(refusal.value)


def test_a_run_cannot_be_joined_twice(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.join()
    with pytest.raises(PolicyRefused, match="already joined"):
        federation.silos["east"].join(federation.invitation)
