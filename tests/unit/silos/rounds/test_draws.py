"""A noised vector is in one sum at most: whatever a coordinator repeats, splits, or restarts."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest

from protocol.encoding import digest_json
from protocol.errors import BudgetSpent, DrawSpent, MessageRefused, OutOfOrder, QuorumLost
from protocol.secagg.client import SecAggClient
from protocol.secagg.context import RoundContext
from protocol.secagg.server import Step
from protocol.study.study import EvaluationSchedule, Study
from protocol.study.study_file import read_study
from silos.rounds.draws import Draws
from tests.support.simulated.contexts import context_of
from tests.support.simulated.studies import changed
from tests.support.simulated.sum_federation import STEPS, Federation
from tests.system.test_retries import SHARED_NOISE, paid_by, restart, sent_of
from tests.unit.silos.rounds.test_participation import Attack

#: Three rounds and no spare draw: what is left over must still do for the last round.
THREE = changed("rounds: 2", "rounds: 3")
SCHEDULE = EvaluationSchedule(rounds=3)


class Adversary(Attack):
    """A coordinator that decides for each attempt who takes part, and whom it asks to reveal."""

    def __init__(self, folder: Path, study: Study | None = None) -> None:
        super().__init__(folder, study)
        self.attempts = 0

    def attempt(
        self,
        among: Collection[str],
        *,
        draw: int = 0,
        number: int = 0,
        round_kind: str = "training",
        reveal: Collection[str] | None = None,
    ) -> dict[str, str]:
        """Drives one attempt; returns the refusals, by site. ``reveal`` None asks everybody."""
        context = self.context(
            number=number, round_kind=round_kind, attempt=self.attempts, draw=draw
        )
        self.attempts += 1
        out = set(self.federation.study.site_names) - set(among)
        self.machine = self.round(context, without=out)
        refused: dict[str, str] = {}
        for step in Step:
            for site in self.machine.asked(step):
                if step is Step.UNMASK and reveal is not None and site not in reveal:
                    continue
                reply = self.ask(
                    site,
                    step,
                    self.machine.request(step, site),
                    blob=self.machine.attachment(step, site),
                )
                if reply.refusal is None:
                    self.machine.receive(step, site, reply.message, reply.blob)
                else:
                    refused[site] = reply.refusal
            try:
                self.machine.close(step)
            except QuorumLost:
                break
        return refused

    @property
    def is_summed(self) -> bool:
        return self.machine._finished


ALL = ("east", "north", "south", "west")


def test_two_attempts_never_show_a_single_update(tmp_path: Path) -> None:
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL)
    assert adversary.is_summed
    for left_out in ALL:
        rest = [site for site in ALL if site != left_out]
        assert set(adversary.attempt(rest).values()) == {"DrawSpent"}
        assert not adversary.is_summed


def test_a_sum_that_only_some_were_asked_to_reveal_binds_enough_of_them(tmp_path: Path) -> None:
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL, reveal=("east", "north", "south"))
    assert adversary.is_summed  # west was not asked, and its vector is in the sum all the same
    for trio in combinations(ALL, 3):
        adversary.attempt(trio)
        assert not adversary.is_summed, trio


def test_revealed_vectors_may_be_summed_again_among_the_same_sites(tmp_path: Path) -> None:
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL)
    first = adversary.machine.total().copy()
    assert not adversary.attempt(ALL)
    assert np.array_equal(adversary.machine.total(), first)
    assert [paid_by(adversary.federation, site) for site in ALL] == [1] * 4


def test_vectors_that_nobody_revealed_may_be_summed_among_others(tmp_path: Path) -> None:
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL, reveal=())
    assert not adversary.attempt(ALL[:3])
    assert adversary.is_summed


@pytest.mark.parametrize("is_restarted", [False, True], ids=["at work", "restarted"])
def test_what_was_revealed_among_whom_survives_a_restart(
    tmp_path: Path, is_restarted: bool
) -> None:
    """With the vector still in memory, and without it: the record alone must refuse."""
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL)
    if is_restarted:
        for site in ALL:
            restart(adversary.federation, site)
    refused = adversary.attempt(ALL[:3])
    assert set(refused.values()) == {"DrawSpent"}
    assert not adversary.is_summed


def test_a_second_vector_is_never_made_in_a_draw(tmp_path: Path) -> None:
    """Two vectors of one hospital among the same others would show their difference."""
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL)
    restart(adversary.federation, "west")
    refused = adversary.attempt(ALL)
    assert refused == dict.fromkeys(ALL[:3], "DrawSpent") | {"west": "DrawSpent"}
    assert "lost this draw's noised vector" in str(
        adversary.federation.silos["west"].reason("run-1")
    )
    assert len({entry.content for entry in sent_of(adversary.federation, "west")}) == 1


@pytest.mark.parametrize("text", [THREE, SHARED_NOISE], ids=["own noise", "shared noise"])
def test_another_draw_is_noised_anew_and_paid_from_the_spare_ones(
    tmp_path: Path, text: str
) -> None:
    study = read_study(text)
    adversary = Adversary(tmp_path, study)
    adversary.attempt(ALL)
    assert not adversary.attempt(ALL[1:], draw=1)
    assert adversary.is_summed
    for site in ALL[1:]:
        first, second = sent_of(adversary.federation, site)
        assert first.content != second.content
        assert first.rho == second.rho
    refused = adversary.attempt(ALL, draw=2)
    assert {refused[site] for site in ALL[1:]} == {"BudgetSpent"}
    assert "no spare draw" in str(adversary.federation.silos["north"].reason("run-1"))


def test_a_past_draw_is_not_given_again(tmp_path: Path) -> None:
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL, reveal=())
    adversary.attempt(ALL, draw=1, reveal=())
    assert set(adversary.attempt(ALL, draw=0).values()) == {"DrawSpent"}


def test_the_evaluation_follows_the_same_rule(tmp_path: Path) -> None:
    study = read_study(changed("bins: 8", "bins: 8, attempts: 2"))
    adversary = Adversary(tmp_path, study)
    evaluation = {"number": 2, "round_kind": "evaluation"}
    adversary.attempt(ALL, **evaluation)
    first = adversary.machine.total().copy()
    assert set(adversary.attempt(ALL[:3], **evaluation).values()) == {"DrawSpent"}
    assert not adversary.attempt(ALL[:3], draw=1, **evaluation)
    assert adversary.is_summed
    assert not np.array_equal(first, adversary.machine.total())
    refused = adversary.attempt(ALL[:3], draw=2, **evaluation)
    assert set(refused.values()) == {"BudgetSpent"}
    assert paid_by(adversary.federation, "east", "evaluation") == 2


def test_a_hospital_that_comes_late_gives_the_draw_that_is_due_and_pays_it_once(
    tmp_path: Path,
) -> None:
    adversary = Adversary(tmp_path)
    adversary.attempt(ALL[:3])
    assert not adversary.attempt(ALL, draw=1)  # west is in the round for the first time
    assert adversary.is_summed
    assert (paid_by(adversary.federation, "east"), paid_by(adversary.federation, "west")) == (2, 1)
    assert not adversary.attempt(ALL, number=1)


def test_a_restart_forgets_neither_the_newest_round_nor_the_spare_draws(tmp_path: Path) -> None:
    adversary = Adversary(tmp_path, read_study(THREE))
    other = {name: value + np.float32(0.25) for name, value in adversary.initial().items()}
    adversary.initial = lambda: other  # type: ignore[method-assign]
    assert not adversary.attempt(ALL, number=1)
    for site in ALL:
        restart(adversary.federation, site)
    adversary.east = adversary.federation.silos["east"]
    past = adversary.attempt(ALL, number=0)
    assert set(past.values()) == {"OutOfOrder"}
    assert "round 0 is past" in str(adversary.federation.silos["east"].reason("run-1"))
    assert set(adversary.attempt(ALL, number=1).values()) == {"DrawSpent"}
    assert not adversary.attempt(ALL, number=1, draw=1)
    for site in ALL:
        restart(adversary.federation, site)
    assert set(adversary.attempt(ALL, number=1, draw=2).values()) == {"BudgetSpent"}
    assert not adversary.attempt(ALL, number=2)  # the end of the run is not lost
    assert adversary.is_summed
    assert paid_by(adversary.federation, "east") == 3


def test_a_vector_that_was_bound_but_not_booked_is_not_made_again(tmp_path: Path) -> None:
    """The power fails between the signing record and the ledger: nothing left, nothing is paid."""
    adversary = Adversary(tmp_path)
    ledger = adversary.federation.silos["west"]._ledger

    def dark(*_given: object, **_more: object) -> None:
        raise KeyboardInterrupt

    guard, ledger.mark_sent = ledger.mark_sent, dark  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        adversary.attempt(ALL)
    ledger.mark_sent = guard  # type: ignore[method-assign]
    restart(adversary.federation, "west")
    assert adversary.attempt(ALL)["west"] == "DrawSpent"
    assert paid_by(adversary.federation, "west") == 0
    assert not adversary.attempt(ALL, draw=1)
    assert paid_by(adversary.federation, "west") == 1


# --- every schedule --------------------------------------------------------------------------


class Schedule(Federation):
    """Five sites, one of which colludes with the coordinator; t = 4."""

    colluder = "site-04"

    def __init__(self) -> None:
        super().__init__(5)
        self.attempt = 0
        self.unmasked: dict[int, set[tuple[str, ...]]] = {}

    def silo(self, site: str, *, min_sites: int = 3) -> SecAggClient:
        """A colluder forgets what it has revealed; the others know from their book."""
        if site == self.colluder:
            self.guards[site].entries.clear()
            return super().silo(site, min_sites=min_sites)
        kept = {slot: named for (of, slot), named in self.guards[site].entries.items()
                if of == self.context.run_id}  # fmt: skip
        return SecAggClient(
            context=self.context,
            site=site,
            key=self.keys[site],
            roster=self.roster,
            coordinator_public=self.coordinator_key.public,
            guard=self.guards[site],
            min_sites=min_sites,
            among=Draws(kept, spare=None, schedule=SCHEDULE).among(self.context),
        )

    def try_once(self, random: Random) -> None:
        """One attempt among some sites, some of which are asked to reveal."""
        draw = random.randrange(2)
        self.begin(attempt=self.attempt, draw=draw)
        self.attempt += 1
        vectors = self.vectors(seed=draw)
        absent = frozenset(random.sample(self.sites, random.randrange(2)))
        silent = frozenset(random.sample(self.sites, random.randrange(2)))
        try:
            for step in STEPS[:-1]:
                self.play(step, vectors, absent=absent if step is Step.MASKED else frozenset())
            self.play(Step.UNMASK, vectors, absent=silent)
        except (QuorumLost, MessageRefused):
            return
        self.unmasked.setdefault(draw, set()).add(self.coordinator.survivors)


def test_of_all_sums_of_a_draw_one_at_most_is_ever_unmasked() -> None:
    outcomes: Counter[int] = Counter()
    for seed in range(20):
        random, schedule = Random(seed), Schedule()
        for _ in range(8):
            schedule.try_once(random)
        for survivors in schedule.unmasked.values():
            outcomes[len(survivors)] += 1
    assert set(outcomes) == {1}
    assert outcomes[1] > 20  # and not because nothing was unmasked


def test_silo_signs_no_other_survivors_for_a_draw_that_it_has_revealed() -> None:
    federation = Federation(5)
    federation.run(federation.vectors())
    first = federation.silos["site-00"].revealed_among
    assert first == digest_json(list(federation.sites))
    schedule = Schedule()
    schedule.guards = federation.guards
    schedule.keys, schedule.roster = federation.keys, federation.roster
    schedule.coordinator_key = federation.coordinator_key
    schedule.begin(attempt=1)
    for step in STEPS[:3]:
        absent = frozenset({"site-03"}) if step is Step.MASKED else frozenset()
        schedule.play(step, federation.vectors(), absent=absent)
    request = schedule.request(Step.CONSISTENCY)
    with pytest.raises(DrawSpent, match="revealed among other sites"):
        schedule.silos["site-00"].confirm(request)


def test_reveal_itself_asks_the_book() -> None:
    """Two processes of one hospital, one of which does not know what the other has revealed."""
    federation = Federation(5)
    federation.run(federation.vectors())
    federation.begin(attempt=1)  # its silos are not told among whom the draw was revealed
    for step in STEPS[:3]:
        absent = frozenset({"site-03"}) if step is Step.MASKED else frozenset()
        federation.play(step, federation.vectors(), absent=absent)
    federation.play(Step.CONSISTENCY, federation.vectors())
    request = federation.request(Step.UNMASK)
    with pytest.raises(MessageRefused, match="survivors/training/0/0 was done differently"):
        federation.silos["site-00"].reveal(request)


# --- the record ------------------------------------------------------------------------------


def test_draws_are_read_back_from_the_signing_record() -> None:
    kept = {
        "context/training/0/0": "1" * 64,
        "vector/training/0/0": "2" * 64,
        "model/training/0": "4" * 64,
        "survivors/training/0/0": "3" * 64,
    }
    draws = Draws(kept, spare={"training": 1, "evaluation": 0}, schedule=SCHEDULE)
    context = context_of(4, attempt=1)
    with pytest.raises(DrawSpent, match="was restarted and has lost"):
        draws.require_due(context)
    assert draws.among(context) == "3" * 64
    draws.require_due(replace(context, draw=1))
    draws.require_due(replace(context, round=1))
    draws.require_due(replace(context, round_kind="evaluation", round=3))


def test_evaluations_in_between_are_due_after_their_rounds_and_spare_draws_are_of_all_of_them() -> (
    None
):
    """Of six rounds every second is evaluated: rounds 7 and 8, and at the end 6."""
    order = [
        ("training", 0), ("training", 1), ("evaluation", 7), ("training", 2), ("training", 3),
        ("evaluation", 8), ("training", 4), ("training", 5), ("evaluation", 6),
    ]  # fmt: skip
    schedule = EvaluationSchedule(rounds=6, every=2)
    draws = Draws({}, spare={"training": 0, "evaluation": 1}, schedule=schedule)
    for place, (kind, number) in enumerate(order):
        due = replace(context_of(4), round_kind=kind, round=number)
        draws.require_due(due)
        draws.hold(due, np.zeros(1))
        for past_kind, past in order[:place]:
            with pytest.raises(OutOfOrder, match="past|evaluated already"):
                draws.require_due(replace(due, round_kind=past_kind, round=past))
        again = replace(due, draw=1, attempt=1)
        if (kind, number) == ("evaluation", 7):
            draws.require_due(again)
            draws.hold(again, np.zeros(1))
        else:
            with pytest.raises(BudgetSpent, match=f"no spare draw of the {kind}"):
                draws.require_due(again)


def test_a_signing_record_of_another_form_is_refused() -> None:
    with pytest.raises(MessageRefused, match="a line of another form"):
        Draws({"vector/training/zero/0": "2" * 64}, spare=None, schedule=SCHEDULE)


def test_free_draws_are_not_counted() -> None:
    draws, context = Draws({}, spare=None, schedule=SCHEDULE), context_of(4)
    for draw in range(5):
        due: RoundContext = replace(context, attempt=draw, draw=draw)
        draws.require_due(due)
        draws.hold(due, np.zeros(1))
