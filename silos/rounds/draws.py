"""The noised vectors that a hospital has made in one run, and when one more is due.

A *draw* is one noised vector of a round. Rules:

1. Rounds only go forward: training rounds, and each evaluation after those that the study says
   (``EvaluationSchedule``). Draws of a round only go forward too, and all of them begin from the
   same model.
2. In a draw there is one noised vector. Another attempt of the same draw masks
   it again, at no charge. A hospital that has lost it, by a restart, takes part
   in a later draw only.
3. A draw after the first of a round is taken from the spare ones that the study
   declares for the whole run, and that were priced with it.
4. What was drawn is read from the hospital's signing record: a restart loses
   vectors, but neither which round is the newest nor how many draws are left.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BudgetSpent, DrawSpent, MessageRefused, OutOfOrder
from protocol.secagg.context import RoundContext
from protocol.study.study import EvaluationSchedule

Noised: TypeAlias = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, order=True)
class _Place:
    """The place of a draw in a run; later ones are larger.

    ``before`` is the number of training rounds before it. An evaluation comes before the training
    round that has as many before it.
    """

    before: int
    is_training: bool
    draw: int

    @property
    def of_round(self) -> tuple[int, bool]:
        return self.before, self.is_training


class Draws:
    """The draws of one run.

    Args:
        kept: the run's lines of the signing record, digest by slot.
        spare: how many draws beyond the first of each round may be made, by
            round_kind; None where they cost nothing.
        schedule: when the run is evaluated.
    """

    def __init__(
        self,
        kept: Mapping[str, str],
        *,
        spare: Mapping[str, int] | None,
        schedule: EvaluationSchedule,
    ) -> None:
        self._spare, self._schedule = spare, schedule
        self._made: set[_Place] = set()
        self._models: dict[tuple[int, bool], str] = {}
        self._among: dict[_Place, str] = {}
        self._held: tuple[_Place, Noised] | None = None
        for slot, digest in kept.items():
            what, *place = slot.split("/")
            if what == "vector":
                self._made.add(self._read(place))
            elif what == "survivors":
                self._among[self._read(place)] = digest
            elif what == "model":
                self._models[self._read([*place, "0"]).of_round] = digest

    def require_due(self, context: RoundContext) -> None:
        """Refuses a context whose draw is not due.

        Raises:
            OutOfOrder: the round is past, or was begun from another model.
            DrawSpent: this draw is past, or its vector is lost.
            BudgetSpent: no spare draw is left.
        """
        if not self._made:
            return
        place, newest = self._place(context), max(self._made)
        if place.of_round < newest.of_round:
            raise OutOfOrder(
                "this run was evaluated already"
                if newest.of_round == (self._schedule.rounds, False)
                else f"{self._name(context)} is past"
            )
        if place.of_round > newest.of_round:
            return
        if self._models.get(place.of_round) != context.model_hash:
            raise OutOfOrder(f"{self._name(context)} began from another model")
        if place < newest:
            raise DrawSpent(f"draw {context.draw} of round {context.round} is past")
        if place == newest and self.held(context) is None:
            raise DrawSpent("this hospital was restarted and has lost this draw's noised vector")
        if place > newest and not self._left(context.round_kind):
            raise BudgetSpent(f"no spare draw of the {context.round_kind} is left in this run")

    def held(self, context: RoundContext) -> Noised | None:
        """Returns the noised vector of a context's draw, if it was made and is not lost."""
        if self._held is None or self._held[0] != self._place(context):
            return None
        return self._held[1]

    def hold(self, context: RoundContext, noised: Noised) -> None:
        """Keeps the noised vector of a new draw, in memory only."""
        place = self._place(context)
        self._made.add(place)
        self._models[place.of_round] = context.model_hash
        self._held = place, noised

    def among(self, context: RoundContext) -> str | None:
        """Returns the digest of the sites among which a context's draw was revealed, if it was."""
        return self._among.get(self._place(context))

    def reveal(self, context: RoundContext, among: str) -> None:
        """Records among which sites a draw was revealed."""
        self._among[self._place(context)] = among

    def evaluated(self, number: int) -> str | None:
        """Returns the model of an evaluation that this hospital began; None where it did not."""
        return self._models.get((self._schedule.rounds_before("evaluation", number), False))

    def _left(self, round_kind: str) -> bool:
        """Whether another draw may be made in a round that has one."""
        if self._spare is None:
            return True
        rounds = Counter(
            place.before for place in self._made if place.is_training == (round_kind == "training")
        )
        return sum(rounds.values()) - len(rounds) < self._spare[round_kind]

    def _place(self, context: RoundContext) -> _Place:
        return self._placed(context.round_kind, context.round, context.draw)

    def _placed(self, round_kind: str, number: int, draw: int) -> _Place:
        before = self._schedule.rounds_before(round_kind, number)
        return _Place(before=before, is_training=round_kind == "training", draw=draw)

    def _name(self, context: RoundContext) -> str:
        if context.round_kind == "training":
            return f"training round {context.round}"
        return f"the {self._schedule.place(context.round_kind, context.round)}"

    def _read(self, written: list[str]) -> _Place:
        """Returns the place that a slot names: kind of round, round, draw."""
        try:
            round_kind, number, draw = written
            return self._placed(round_kind, int(number), int(draw))
        except ValueError as error:
            raise MessageRefused("the signing record holds a line of another form") from error
