"""Rounds that fail and are tried again: who pays, who is left out, what is the same."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compliance.ledger.entries import Entry, State
from coordinator.database.store import RoundRow
from coordinator.rounds.attempts.conduct import Conduct, conduct_from
from coordinator.rounds.attempts.standing import NAMED, SUSPECTED
from protocol.encoding import parse_canonical
from protocol.errors import FederationError, QuorumLost, RunLost, SumRefused
from protocol.secagg.client import SecAggClient
from protocol.secagg.context import RoundContext
from protocol.secagg.masking import apply_masks
from protocol.secagg.server import Step
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from protocol.vectors.keystream import RingVector
from silos.rounds.silo import Silo
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import TABLE_STUDY, changed
from tests.unit.silos.rounds.test_participation import Attack

ONE_ROUND = changed("rounds: 2", "rounds: 1")
NO_PRIVACY = ONE_ROUND.replace(
    "mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0",
    "mode: none, sampling_rate: 1.0",
)
SHARED_NOISE = (
    TABLE_STUDY.replace("rounds: 2, local_steps: 2", "rounds: 6, local_steps: 1, strategy: fedsgd")
    .replace("mode: per_site, epsilon: 4", "mode: distributed, epsilon: 8, noise_multiplier: 3.0")
    .replace("patients: 30", "patients: 40")
)


def spare(count: int, text: str = ONE_ROUND) -> Study:
    return read_study(text.replace("colluders: 1", f"colluders: 1, spare_draws: {count}"))


def silent(
    federation: Federation, step: str, sites: set[str], times: int = 1, rounds: int = 0
) -> list[str]:
    """Lets sites be silent the first ``times`` that they are asked for a step after some rounds."""
    missed: list[str] = []

    def lost(site: str, request: Request) -> bool:
        due = site in sites and request.step == step and len(federation.watch.rounds) == rounds
        is_lost = due and missed.count(site) < times
        missed.extend([site] if is_lost else [])
        return is_lost

    federation.link.lost = lost
    return missed


def restart(federation: Federation, site: str) -> None:
    """A hospital's process ends and is started again: what is in memory only is lost."""
    home = federation.silos[site]._database
    silo = Silo(
        site, federation.workspace.silos / site, LinearTrainer, simulated=True, hospital=home
    )
    silo.join(federation.invitation)
    federation.silos[site] = silo


def sent_of(federation: Federation, site: str, round_kind: str = "training") -> list[Entry]:
    with federation.silos[site]._database.transaction() as guard:
        return [e for e in guard.entries() if e.state is State.SENT and e.round_kind == round_kind]


def paid_by(federation: Federation, site: str, round_kind: str = "training") -> int:
    return sum(bool(entry.rho) for entry in sent_of(federation, site, round_kind))


def rows_of(federation: Federation) -> list[RoundRow]:
    with federation.store.read() as session:
        return session.query(RoundRow).order_by(RoundRow.id).all()


def draws_of(federation: Federation) -> list[tuple[int, int, int, str]]:
    """Round, attempt and draw of every attempt, and how it ended."""
    contexts = [
        (RoundContext.from_json(parse_canonical(row.context_json.encode())), row.state)
        for row in rows_of(federation)
    ]
    return [(c.round, c.attempt, c.draw, state) for c, state in contexts]


def conduct_of(federation: Federation) -> list[Conduct]:
    return [conduct_from(row.conduct_json) for row in rows_of(federation)]


def dishonest(
    monkeypatch: pytest.MonkeyPatch, site: str, kind: Callable[..., SecAggClient]
) -> None:
    """Gives one hospital another state machine."""

    def machine(**arguments: object) -> SecAggClient:
        return (kind if arguments["site"] == site else SecAggClient)(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("silos.rounds.participation.SecAggClient", machine)


# --- the same draw ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", short_form(["share", "masked", "consistency", "unmask"], 2))
def test_a_failed_training_round_is_tried_again_and_paid_once(tmp_path: Path, step: str) -> None:
    federation = Federation(tmp_path, read_study(ONE_ROUND))
    silent(federation, step, {"east", "west"})
    federation.run()
    assert [len(survivors) for _, _, survivors in federation.watch.rounds] == [4, 4]
    for site in federation.silos:
        assert paid_by(federation, site) == 1
        assert federation.silos[site]._ledger.summary().of("training").spent > 0


def test_the_same_noised_update_travels_under_another_mask(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(ONE_ROUND))
    silent(federation, "unmask", {"east", "west"})
    federation.run()
    first, second = sent_of(federation, "north")
    assert first.content == second.content
    assert first.blob != second.blob
    assert first.context != second.context
    assert first.rho and not second.rho


@pytest.mark.parametrize(
    "text", short_form([ONE_ROUND, SHARED_NOISE], 2), ids=["own noise", "shared noise"]
)
def test_an_evaluation_too_is_tried_again_at_no_charge_among_the_same_sites(
    tmp_path: Path, text: str
) -> None:
    study = read_study(text)
    federation = Federation(tmp_path, study, budget=60.0)
    silent(federation, "unmask", {"east", "west"}, rounds=study.training.rounds)
    federation.run()
    assert len(sent_of(federation, "north", "evaluation")) == 2
    assert paid_by(federation, "north", "evaluation") == 1


def test_a_site_that_lost_its_vector_sits_that_draw_out(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(ONE_ROUND))
    missed = silent(federation, "consistency", {"east", "west"})
    told = federation.link.lost

    def lost(site: str, request: Request) -> bool:
        if site == "north" and request.step == "advertise" and len(missed) == 2:
            restart(federation, "north")
            missed.append("")
        return told(site, request)

    federation.link.lost = lost
    federation.run()
    assert federation.watch.rounds[0][2] == ("east", "south", "west")
    assert paid_by(federation, "north") == 1


# --- another draw ----------------------------------------------------------------------------


def test_revealed_vectors_are_drawn_anew_when_a_site_of_that_sum_is_gone(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(ONE_ROUND))
    missed = silent(federation, "unmask", {"east", "west"})
    told = federation.link.lost

    def lost(site: str, request: Request) -> bool:
        return told(site, request) or (site == "west" and missed.count("west") == 1)

    federation.link.lost = lost
    federation.run()
    assert draws_of(federation)[:3] == [
        (0, 0, 0, "failed"), (0, 1, 0, "failed"), (0, 2, 1, "finished")
    ]  # fmt: skip
    assert federation.watch.rounds[0][2] == ("east", "north", "south")
    assert (paid_by(federation, "north"), paid_by(federation, "west")) == (2, 1)


def test_a_round_takes_no_more_draws_than_the_study_pays_for(tmp_path: Path) -> None:
    federation = Federation(tmp_path, spare(0))
    silent(federation, "unmask", {"east", "west"}, times=2)
    with pytest.raises(QuorumLost, match="training round 1: step unmask: 2 of 4"):
        federation.run()
    assert [paid_by(federation, site) for site in federation.silos] == [1, 1, 1, 1]


def test_spare_draws_are_counted_over_the_whole_run(tmp_path: Path) -> None:
    federation = Federation(tmp_path, spare(1, TABLE_STUDY))
    missed: list[tuple[str, int]] = []

    def lost(site: str, request: Request) -> bool:
        key = site, len(federation.watch.rounds)
        is_lost = site in ("east", "west") and request.step == "unmask" and missed.count(key) < 2
        missed.extend([key] if is_lost else [])
        return is_lost

    federation.link.lost = lost
    with pytest.raises(QuorumLost, match="training round 2"):
        federation.run()
    assert [draw for _, _, draw, _ in draws_of(federation)] == [0, 0, 1, 0, 0]
    assert paid_by(federation, "north") == 3
    assert federation.study.priced_steps == 3 * federation.study.training.local_steps


def test_spare_draws_stay_spent_when_the_coordinator_is_started_again(tmp_path: Path) -> None:
    federation = Federation(tmp_path, spare(1))
    silent(federation, "unmask", {"east", "west"}, times=4)
    with pytest.raises(QuorumLost, match="training round 1"):
        federation.run()
    runner = federation.runner()
    assert runner._spare == {"training": 0, "evaluation": 0}
    begun = runner._records.begun("training", 0)
    assert (begun.attempts, begun.draw) == (3, 1)
    assert begun.among == {"east", "north", "south", "west"}


def test_without_a_spare_draw_sites_that_lost_their_vectors_end_the_run(tmp_path: Path) -> None:
    federation = Federation(tmp_path, spare(0))
    missed = silent(federation, "consistency", {"east", "west"})
    told = federation.link.lost

    def lost(site: str, request: Request) -> bool:
        if request.step == "advertise" and len(missed) == 2:
            missed.append("")
            restart(federation, "north")
            restart(federation, "south")
        return told(site, request)

    federation.link.lost = lost
    with pytest.raises(RunLost, match="north, south cannot give the noised vectors"):
        federation.run()


def test_planned_attempts_of_the_evaluation_each_pay_and_draw_new_noise(tmp_path: Path) -> None:
    text = ONE_ROUND.replace("bins: 8", "bins: 8, attempts: 2")
    federation = Federation(tmp_path, read_study(text))
    silent(federation, "unmask", {"east", "west"}, times=2, rounds=1)
    federation.run()
    sent = [entry for entry in sent_of(federation, "north", "evaluation") if entry.rho]
    assert len({entry.content for entry in sent}) == 2
    assert sent[0].rho == sent[1].rho
    plans = federation.silos["north"]._ledger.open_plans()
    (evaluation,) = (plan for plan in plans if plan.round_kind == "evaluation")
    assert evaluation.share_sent == evaluation.share_planned


def test_an_evaluation_that_was_revealed_is_not_drawn_anew_unless_it_was_paid_for(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, read_study(ONE_ROUND))
    silent(federation, "unmask", {"east", "west"}, times=9, rounds=1)
    with pytest.raises(QuorumLost, match="evaluation round 2: step unmask"):
        federation.run()
    assert paid_by(federation, "north", "evaluation") == 1


def test_a_round_is_not_begun_more_often_than_the_study_says(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path, read_study(changed("colluders: 1", "colluders: 1, attempts: 2"))
    )
    silent(federation, "share", {"east", "west"}, times=9)
    with pytest.raises(QuorumLost, match="training round 1"):
        federation.run()
    assert [(a, s) for _, a, _, s in draws_of(federation)] == [(0, "failed"), (1, "failed")]


# --- noise -----------------------------------------------------------------------------------


class WrongMask(SecAggClient):
    """A hospital whose masks do not cancel."""

    def mask(self, vector: RingVector, **rest: Any) -> memoryview:
        apply_masks(vector, add=[b"x" * 32], subtract=[])
        return super().mask(vector, **rest)


def test_a_site_that_masks_wrongly_is_left_out_and_the_others_are_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(
        tmp_path, spare(4, TABLE_STUDY.replace("colluders", "attempts: 9, colluders"))
    )
    dishonest(monkeypatch, "north", WrongMask)
    federation.run()
    honest = ("east", "south", "west")
    assert [survivors for _, _, survivors in federation.watch.rounds] == [honest] * 3
    shown = conduct_of(federation)
    (last,) = [conduct for conduct in shown if conduct.suspects and conduct.left_out][-1:]
    assert last.left_out == {"north": SUSPECTED}
    assert "north" in last.suspects
    assert not any(conduct.culprits for conduct in shown)
    noisy = [row for row in rows_of(federation) if row.state == "failed"]
    assert len(noisy) == paid_by(federation, "east") - 2


@pytest.mark.parametrize("text", [ONE_ROUND, SHARED_NOISE], ids=["own noise", "shared noise"])
def test_noise_costs_nobody_more_than_the_spare_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    federation = Federation(tmp_path, spare(1, text), budget=60.0)
    monkeypatch.setattr("silos.rounds.participation.SecAggClient", WrongMask)
    with pytest.raises(SumRefused, match="training round 1: the sum is longer"):
        federation.run()
    assert [draw for _, _, draw, _ in draws_of(federation)] == [0, 1]
    assert max(paid_by(federation, site) for site in federation.silos) == 2
    assert conduct_of(federation)[-1].suspects


def test_noise_in_the_evaluation_costs_no_more_than_its_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(WrongMask):
        def mask(self, vector: RingVector, **rest: Any) -> memoryview:
            kind = WrongMask if self.context.round_kind == "evaluation" else SecAggClient
            return kind.mask(self, vector, **rest)

    federation = Federation(
        tmp_path, read_study(ONE_ROUND.replace("bins: 8", "bins: 8, attempts: 2"))
    )
    monkeypatch.setattr("silos.rounds.participation.SecAggClient", Late)
    with pytest.raises(SumRefused, match="evaluation round 2"):
        federation.run()
    assert max(paid_by(federation, site, "evaluation") for site in federation.silos) == 2


def test_where_draws_are_free_every_site_is_left_out_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, read_study(NO_PRIVACY))
    monkeypatch.setattr("silos.rounds.participation.SecAggClient", WrongMask)
    with pytest.raises(SumRefused, match="training round 1: the sum is longer"):
        federation.run()
    left_out = [tuple(conduct.left_out) for conduct in conduct_of(federation)]
    assert sorted(left_out) == [(), ("east",), ("north",), ("south",), ("west",)]


@pytest.mark.parametrize(("liar", "victim"), [("west", "east"), ("east", "west")])
def test_what_sums_cannot_tell_apart_is_recorded_as_a_set_whatever_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, liar: str, victim: str
) -> None:
    class Sometimes(WrongMask):
        def mask(self, vector: RingVector, **rest: Any) -> memoryview:
            kind = WrongMask if victim in (self._senders or ()) else SecAggClient
            return kind.mask(self, vector, **rest)

    text = NO_PRIVACY.replace("rounds: 1", "rounds: 3")
    federation = Federation(tmp_path, read_study(text))
    dishonest(monkeypatch, liar, Sometimes)
    federation.run()
    shown = conduct_of(federation)
    last = [conduct for conduct in shown if conduct.suspects][-1]
    assert {liar, victim} <= set(last.suspects)
    assert "answered wrongly" not in json.dumps([conduct.sentences for conduct in shown])
    assert "the sums do not show which of these: " + ", ".join(last.suspects) in last.sentences[0]


# --- who answered wrongly --------------------------------------------------------------------


class FalseDealer(SecAggClient):
    """A hospital that deals shares of another secret than the one it advertised."""

    def share(self, adverts: bytes) -> tuple[bytes, bytes]:
        own = self._secrets
        if self._adverts is None and own is not None:
            self._secrets = replace(own, self_secret=bytes(32))
        try:
            return super().share(adverts)
        finally:
            self._secrets = own


@pytest.mark.parametrize(
    "text",
    short_form([changed("rounds: 2", "rounds: 6"), SHARED_NOISE], 2),
    ids=["own noise", "shared noise"],
)
def test_who_answered_wrongly_is_out_for_the_rest_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    federation = Federation(tmp_path, read_study(text), budget=60.0)
    dishonest(monkeypatch, "west", FalseDealer)
    federation.run()
    honest = ("east", "north", "south")
    assert [survivors for _, _, survivors in federation.watch.rounds] == [honest] * 7
    first, *later = conduct_of(federation)
    assert set(first.culprits) == {"west"}
    assert {json.dumps(conduct.left_out) for conduct in later} == {json.dumps({"west": NAMED})}
    assert paid_by(federation, "east") == 7  # six rounds and one spare draw
    assert paid_by(federation, "east", "evaluation") == 1


def test_what_was_shown_of_the_sites_outlives_the_coordinators_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, read_study(TABLE_STUDY))
    dishonest(monkeypatch, "west", FalseDealer)
    federation.run()
    standing = federation.runner()._standing
    assert set(standing.named) == {"west"}
    assert standing.out([]) == {"west": NAMED}


def test_a_run_ends_when_too_few_have_answered_rightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, read_study(ONE_ROUND))
    monkeypatch.setattr(
        "silos.rounds.participation.SecAggClient",
        lambda **given: (FalseDealer if given["site"] in ("west", "east") else SecAggClient)(
            **given
        ),
    )
    with pytest.raises(FederationError, match="fewer than 3 sites have answered rightly") as caught:
        federation.run()
    assert isinstance(caught.value, RunLost)
    assert set(conduct_of(federation)[-1].culprits) == {"east", "west"}


def test_an_earlier_attempt_cannot_be_asked_for_again(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    first = attack.context()
    attack.drive(first, until=Step.MASKED)
    attack.drive(attack.context(attempt=1), until=Step.MASKED)
    opening = attack.round(first).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, opening).refusal == "MessageRefused"
