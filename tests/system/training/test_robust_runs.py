"""Runs under a robust rule: groups' secure sums, their failures, what hospitals refuse, audits."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.facts.dossier import run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.sections.run import rounds_section
from coordinator.audit.verification import verify_records
from coordinator.database.store import RoundRow, RunRow
from coordinator.rounds import training
from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.rounds.means import RoundMean, round_mean, summed
from coordinator.rounds.training import Outcome
from coordinator.views.one_run.dossiers import dossier_of
from protocol.errors import QuorumLost, StoreBroken
from protocol.secagg.context import round_context
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.study import Study, SumOfSites
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from protocol.vectors.tensors import Tensors, layout_of, model_digest
from silos.training.randomness import Entropy, RoundInput
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.nine_hospitals import grouped_study, grouped_text, without_noise


class SignFlipping(LinearTrainer):
    """Hospital g sends the opposite of its update, a hundred times over."""

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        honest = super().update(given, entropy)
        return LocalEnd(update=honest.update * (-100 if self._site == "g" else 1))


class TwoGroups(LinearTrainer):
    """In the second round d and g send the opposite of their updates, a hundred times over."""

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        honest = super().update(given, entropy)
        bad = given.number == 1 and self._site in ("d", "g")
        return LocalEnd(update=honest.update * (-100 if bad else 1))


def rows(federation: Federation, state: str = "finished") -> list[RoundRow]:
    with federation.store.read() as session:
        query = session.query(RoundRow).filter_by(state=state, round_kind="training")
        found = query.order_by(RoundRow.id).all()
        session.expunge_all()
        return found


def in_the_clear(federation: Federation) -> Tensors:
    """The model of the same training without a mask or a message."""
    study = federation.study
    trainers = {site: silo.simulated_part("run-1") for site, silo in federation.silos.items()}
    training, initial = study.training, next(iter(trainers.values())).initial_model()
    layout, state = layout_of(initial), begun(training, initial)
    for number in range(training.rounds):
        model = model_of(training, layout, state)
        given = RoundInput(model=model, number=number, noise_multiplier=None)

        def contribution(site: str, given: RoundInput = given) -> NDArray[np.unsignedinteger]:
            update = trainers[site].update(given, None).update  # type: ignore[arg-type]
            return round_vector(study, given.model, given.number).encode(site, update)

        sums = summed(study, number, trainers, contribution)
        found = round_mean(study, model, number, sums)
        state = next_state(training, state, found.mean)
    return model_of(training, layout, state)


def keeping(study: Study) -> Study:
    """Returns the study with every round kept."""
    return study.replaced(aggregation=study.aggregation.model_copy(update={"keep_rounds": 3}))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Federation, Outcome]:
    """A run under the median in which hospital g does what it can, every round of it kept."""
    folder = tmp_path_factory.mktemp("run")
    federation = Federation(folder, keeping(grouped_study()), trainer=SignFlipping)
    return federation, federation.run()


def test_a_run_of_groups_is_bit_for_bit_the_same_training_in_the_clear(
    done: tuple[Federation, Outcome],
) -> None:
    federation, outcome = done
    assert model_digest(in_the_clear(federation)) == outcome.model_digest
    everybody = tuple("abcdefghi")
    assert federation.watch.rounds == [
        ("training", 0, everybody), ("training", 1, everybody), ("evaluation", 2, everybody),
    ]  # fmt: skip


@pytest.mark.long
def test_a_trimmed_mean_is_bit_for_bit_the_same_in_the_clear(tmp_path: Path) -> None:
    study = grouped_study("abc", "def", "ghi", "jkl", rule="rule: trimmed_mean, trim: 1")
    federation = Federation(tmp_path, study, trainer=SignFlipping)
    outcome = federation.run()
    assert model_digest(in_the_clear(federation)) == outcome.model_digest


def test_every_round_says_how_far_each_groups_mean_lay_from_the_rules(
    done: tuple[Federation, Outcome],
) -> None:
    federation, _ = done
    shown = [conduct_from(row.conduct_json) for row in rows(federation)]
    assert [row.attempt for row in rows(federation)] == [0, 1, 2] * 2
    for number in range(2):
        norms = {one.norm for one in shown[3 * number : 3 * number + 3]}
        a, d, g = (one.distance for one in shown[3 * number : 3 * number + 3])
        assert len(norms) == 1 and a is not None and d is not None and g is not None
        assert g > 5 * max(a, d)
    assert [one.direction is None for one in shown] == [True] * 3 + [False] * 3


def test_every_round_of_groups_is_recomputed_and_verified(
    done: tuple[Federation, Outcome],
) -> None:
    federation, outcome = done
    assert len(federation.recomputed(0).sums) == 3
    last = federation.recomputed(1)
    assert (len(last.sums), last.model) == (3, outcome.model_digest)
    with federation.store.read() as session:
        found = verify_records(session, federation.workspace.public_key())
    assert len(found.attempts) == 7


def test_the_run_says_which_group_lay_far_and_that_no_round_is_rolled_back(
    done: tuple[Federation, Outcome],
) -> None:
    federation, _ = done
    with federation.store.read() as session:
        dossier = dossier_of(session, session.get_one(RunRow, "run-1"), "finished")
    robust = dossier.robust
    assert robust is not None and robust.often_far == {3: 2}
    assert "Far from what it gave: group 3 (g, h, i) in 2 rounds" in robust.sentence
    assert "not rolled back: the study does not say evaluation.roll_back" in robust.sentence
    assert [(one.group, one.attempt) for one in robust.rounds] == [(1, 0), (2, 0), (3, 0)] * 2
    assert dossier.threshold == 3 and dossier.rounds_trained == 2
    told = run_json(dossier)["robust"]
    assert (told["bears"], told["rolls_back"]) == (1, False)
    assert [one["far"] for one in told["rounds"]] == [False, False, True] * 2
    assert "3 must answer in each group, 1 may collude" in str(run_page(dossier, ()))
    shown = str(rounds_section(dossier).blocks)
    assert "Groups under the robust rule" in shown and robust.sentence in shown


def test_groups_whose_rule_is_outvoted_are_taken_back_and_the_evaluation_is_one_sum_of_all(
    tmp_path: Path,
) -> None:
    """Poisoned hospitals in two of three groups are more than a median bears."""
    text = without_noise(grouped_text()).replace(
        "{bins: 8}", "{bins: 8, every: 1, roll_back: 0.05}"
    )
    study = keeping(read_study(text.replace("rounds: 2", "rounds: 3")))
    federation = Federation(tmp_path, study, trainer=TwoGroups)
    federation.run()
    assert federation.watch.taken_back == [(2, 1)]
    asked = {sites for kind, _, sites in federation.watch.rounds if kind == "evaluation"}
    assert asked == {tuple("abcdefghi")}
    with federation.store.read() as session:
        verify_records(session, federation.workspace.public_key())
        dossier = dossier_of(session, session.get_one(RunRow, "run-1"), "finished")
    assert dossier.robust is not None and "not rolled back" not in dossier.robust.sentence
    assert run_json(dossier)["robust"]["rolls_back"] is True
    assert dossier.course is not None and len(dossier.course.taken_back) == 1


def test_a_figure_of_the_spread_that_was_changed_is_found(
    done: tuple[Federation, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    federation, _ = done
    honest = RoundMean.distances.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(
        RoundMean, "distances", property(lambda own: tuple(2 * one for one in honest(own)))
    )
    with pytest.raises(StoreBroken, match="how a group's mean lay to the round's is not what"):
        federation.recomputed(1)


def test_a_group_that_loses_a_hospital_is_summed_again_before_anything_is_revealed(
    tmp_path: Path,
) -> None:
    """With three groups a round needs all of them: the others wait, and nobody pays twice."""
    federation = Federation(tmp_path, read_study(grouped_text()))
    lost = [True]

    def drops(site: str, request: Request) -> bool:
        return site == "e" and request.step == "masked" and bool(lost) and lost.pop()

    federation.link.lost = drops
    federation.run()
    revealed = [site for site, step, _ in federation.link.seen if step == "unmask"]
    assert len(revealed) == 9 * 3
    assert {row.attempt for row in rows(federation, "failed")} == {0, 1, 2}
    assert [row.attempt for row in rows(federation)] == [3, 4, 5, 0, 1, 2]
    plans = {plan.round_kind: plan for plan in federation.silos["a"]._ledger.open_plans()}
    # Two rounds of two steps, of three that are planned: the repeated one was not paid again.
    assert plans["training"].share_sent == pytest.approx(2 / 3 * plans["training"].share_planned)


def test_a_round_of_four_groups_does_without_the_one_that_cannot_be_summed(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, keeping(grouped_study("abc", "def", "ghi", "jkl")))
    federation.link.lost = lambda site, request: site == "k" and request.step == "masked"
    outcome = federation.run()
    assert [len(federation.recomputed(number).model or "") for number in (0, 1)] == [64, 64]
    assert len(rows(federation)) == 6
    assert federation.watch.rounds[0] == ("training", 0, tuple("abcdefghi"))
    last = federation.recomputed(1)
    assert (len(last.sums), last.model) == (3, outcome.model_digest)


def test_a_round_with_fewer_groups_than_the_rule_needs_fails(tmp_path: Path) -> None:
    federation = Federation(tmp_path, grouped_study())
    federation.link.lost = lambda site, request: site == "e" and request.step == "masked"
    with pytest.raises(QuorumLost, match=r"training round 1, group 2 \(d, e, f\): step masked: 2"):
        federation.run()
    assert not [step for _, step, _ in federation.link.seen if step == "unmask"]
    assert len(rows(federation, "failed")) == 9


def test_a_hospital_refuses_a_group_that_the_study_does_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that puts g where the study has c would sum hospitals of its choice."""
    federation = Federation(tmp_path, grouped_study())
    honest = training.round_context
    monkeypatch.setattr(
        training,
        "round_context",
        lambda study, **given: honest(study, **{**given, "among": _swapped(given["among"])}),
    )
    with pytest.raises(QuorumLost, match="a: PolicyRefused"):
        federation.run()
    assert "participants" in str(federation.silos["a"].reason("run-1"))
    assert federation.silos["d"].reason("run-1") is None


def _swapped(one: SumOfSites) -> SumOfSites:
    return SumOfSites.over(tuple({"c": "g", "g": "c"}.get(site, site) for site in one.sites))


def test_a_groups_context_binds_its_members(tmp_path: Path) -> None:
    study = grouped_study()
    model = {"weight": np.zeros(2, np.float32)}
    digests = set()
    for one in (*study.sums("training", 0), *study.sums("evaluation", 2)):
        context = round_context(
            study, run_id="run-1", roster_digest="0" * 64, round_kind="training", number=0,
            attempt=0, draw=0, log_size=0, log_root="0" * 64, model=model, among=one,
        )  # fmt: skip
        assert context.participants == one.sites
        digests.add(context.digest)
    assert len(digests) == 4
