"""The check of a round's context: a hospital answers only in the one that it would have written."""

from protocol.counted import counted
from protocol.errors import OutOfOrder, PolicyRefused
from protocol.secagg.context import RoundContext, round_context
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import can_be_reached, log_clip_of
from protocol.vectors.tensors import Tensors, layout_of, model_digest


class ContextCheck:
    """The contexts of one run, as a hospital computes them.

    Args:
        site: the hospital.
        run_id: the run.
        study: the study.
        roster_digest: the digest of the roster that the run is of.
        initial: the parameters that the study's seed gives.
    """

    def __init__(
        self, *, site: str, run_id: str, study: Study, roster_digest: str, initial: Tensors
    ) -> None:
        self._site, self._run_id, self._study = site, run_id, study
        self._roster_digest = roster_digest
        self._begins_with = model_digest(initial)
        self._layout, self._final = layout_of(initial), layout_of(without_slots(initial))

    def require(self, context: RoundContext, model: Tensors) -> None:
        """Checks that a context is the study's, and that it goes with the model that was sent.

        Whether the round is due, and whether the model is the one that the log names, is checked
        elsewhere.

        Raises:
            OutOfOrder: the study has no such round, or it is of other hospitals.
            PolicyRefused: the context, the model's layout or its clip is not the study's.
        """
        self._require_number(context)
        if context.round == 0 and model_digest(model) != self._begins_with:
            raise PolicyRefused("the first round does not start from the study's own parameters")
        before = self._rounds_before(context)
        layout = self._layout if before < self._study.training.rounds else self._final
        if layout_of(model) != layout:
            raise PolicyRefused("the model sent has another layout than the study's network")
        self._require_clip(before, model)
        expected = self._expected(context, model)
        if context != expected:
            wrong = [
                name for name, value in vars(expected).items() if value != getattr(context, name)
            ]
            raise PolicyRefused(f"the round's context is not the study's: {', '.join(wrong)}")

    def _rounds_before(self, context: RoundContext) -> int:
        return self._study.evaluations.rounds_before(context.round_kind, context.round)

    def _require_number(self, context: RoundContext) -> None:
        if context.round_kind == "training":
            if not context.round < self._study.training.rounds:
                raise OutOfOrder(f"training round {context.round} is not in the study")
            return
        numbers = self._study.evaluations.numbers
        if context.round not in numbers:
            rightly = ", ".join(map(str, numbers))
            raise OutOfOrder(f"the evaluation is round {rightly}, not {context.round}")

    def _require_clip(self, before: int, model: Tensors) -> None:
        """Refuses an adaptive clip that so many rounds cannot have led to.

        That the model which brings it is the log's last result is checked with the log.
        """
        privacy, clip = self._study.privacy, self._study.clip_of(model)
        if privacy.adaptive_clip is None:
            return
        steps = before * self._study.training.gradients_per_round
        moved, rate = log_clip_of(model), privacy.adaptive_clip.rate
        if not can_be_reached(moved, rate=rate, steps=steps):
            raise PolicyRefused(
                f"the clip sent is {clip:.3g}, which "
                f"{counted(steps, 'step')} from {privacy.clip:g} at rate {rate:g} cannot lead to"
            )

    def _expected(self, context: RoundContext, model: Tensors) -> RoundContext:
        """Returns the context that this hospital would write: the opening says which round it is.

        It says the attempt, the draw and the log's head too.
        """
        own = self._study.sum_with(self._site, context.round_kind, context.round)
        if own is None:
            raise OutOfOrder(
                f"training round {context.round} is of other hospitals: {self._site} has no part "
                "in it (participation.batches)"
            )
        return round_context(
            self._study,
            run_id=self._run_id,
            roster_digest=self._roster_digest,
            round_kind=context.round_kind,
            number=context.round,
            attempt=context.attempt,
            draw=context.draw,
            log_size=context.log_size,
            log_root=context.log_root,
            model=model,
            among=own,
        )
