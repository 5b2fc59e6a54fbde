"""The noised vectors that a hospital has made in one run, and when one more is due.

A *draw* is one noised vector of a round. Rules:

1. Training rounds only go forward; the evaluation comes last. Draws of a round
   only go forward too, and all of them begin from the same model.
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

Noised: TypeAlias = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, order=True)
class _Place:
    """The place of a draw in a run; later ones are larger."""

    is_evaluation: bool
    round: int
    draw: int

    @classmethod
    def of(cls, context: RoundContext) -> "_Place":
        return cls(
            is_evaluation=context.round_kind == "evaluation", round=context.round, draw=context.draw
        )

    @property
    def of_round(self) -> tuple[bool, int]:
        return self.is_evaluation, self.round


class Draws:
    """The draws of one run.

    Args:
        kept: the run's lines of the signing record, digest by slot.
        spare: how many draws beyond the first of each round may be made, by
            round_kind; None where they cost nothing.
    """

    def __init__(self, kept: Mapping[str, str], *, spare: Mapping[str, int] | None) -> None:
        self._spare = spare
        self._made: set[_Place] = set()
        self._models: dict[tuple[bool, int], str] = {}
        self._among: dict[_Place, str] = {}
        self._held: tuple[_Place, Noised] | None = None
        for slot, digest in kept.items():
            what, *place = slot.split("/")
            if what == "vector":
                self._made.add(_place(place))
            elif what == "survivors":
                self._among[_place(place)] = digest
            elif what == "model":
                self._models[_place([*place, "0"]).of_round] = digest

    def require_due(self, context: RoundContext) -> None:
        """Refuses a context whose draw is not due.

        Raises:
            OutOfOrder: the round is past, or was begun from another model.
            DrawSpent: this draw is past, or its vector is lost.
            BudgetSpent: no spare draw is left.
        """
        if not self._made:
            return
        place, newest = _Place.of(context), max(self._made)
        if place.of_round < newest.of_round:
            raise OutOfOrder(
                "this run was evaluated already"
                if newest.is_evaluation
                else f"training round {context.round} is past"
            )
        if place.of_round > newest.of_round:
            return
        if self._models.get(place.of_round) != context.model_hash:
            raise OutOfOrder(f"{context.round_kind} round {context.round} began from another model")
        if place < newest:
            raise DrawSpent(f"draw {context.draw} of round {context.round} is past")
        if place == newest and self.held(context) is None:
            raise DrawSpent("this hospital was restarted and has lost this draw's noised vector")
        if place > newest and not self._left(context.round_kind):
            raise BudgetSpent(f"no spare draw of the {context.round_kind} is left in this run")

    def held(self, context: RoundContext) -> Noised | None:
        """Returns the noised vector of a context's draw, if it was made and is not lost."""
        if self._held is None or self._held[0] != _Place.of(context):
            return None
        return self._held[1]

    def hold(self, context: RoundContext, noised: Noised) -> None:
        """Keeps the noised vector of a new draw, in memory only."""
        place = _Place.of(context)
        self._made.add(place)
        self._models[place.of_round] = context.model_hash
        self._held = place, noised

    def among(self, context: RoundContext) -> str | None:
        """Returns the digest of the sites among which a context's draw was revealed, if it was."""
        return self._among.get(_Place.of(context))

    def reveal(self, context: RoundContext, among: str) -> None:
        """Records among which sites a draw was revealed."""
        self._among[_Place.of(context)] = among

    def _left(self, round_kind: str) -> bool:
        """Whether another draw may be made in a round that has one."""
        if self._spare is None:
            return True
        rounds = Counter(
            place.round
            for place in self._made
            if place.is_evaluation == (round_kind == "evaluation")
        )
        return sum(rounds.values()) - len(rounds) < self._spare[round_kind]


def _place(written: list[str]) -> _Place:
    """Returns the place that a slot names: kind of round, round, draw."""
    try:
        round_kind, number, draw = written
        return _Place(is_evaluation=round_kind == "evaluation", round=int(number), draw=int(draw))
    except ValueError as error:
        raise MessageRefused("the signing record holds a line of another form") from error
