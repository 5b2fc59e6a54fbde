"""The answer to whether a run was reproduced: identical, within tolerance, or different."""

from dataclasses import dataclass
from typing import Any

from collegium.models.reproduction.differences import InputDifference
from compliance.facts.dossier import Reproduction

#: The three answers.
IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"
#: Instead of a cause, where none is known.
UNKNOWN = "nothing that is recorded differs"


@dataclass(frozen=True, kw_only=True)
class ReproductionAnswer:
    """The answer about one run.

    Attributes:
        run_id: the run.
        how: it was reproduced.
        kind: one of the three answers.
        first: where the first difference is; None where there is none.
        why: that there, where it is no difference of inputs: what was tampered with, or an interval
            that another does not meet.
        differences: of the inputs, likeliest first. They may have changed nothing.
        tolerance: what "within tolerance" means here; None where it was not asked.
        compared: what was compared, in words.
        not_compared: what could not be, and why.
        model, model_again: the digests of both final models; None where there is none.
    """

    run_id: str
    how: Reproduction
    kind: str
    first: str | None = None
    why: str | None = None
    differences: tuple[InputDifference, ...] = ()
    tolerance: str | None = None
    compared: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    model: str | None = None
    model_again: str | None = None

    @property
    def cause(self) -> str:
        """The cause of the first difference, as far as it is known."""
        if self.why is not None:
            return self.why
        return self.differences[0].text if self.differences else UNKNOWN

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if self.first is None:
            return self.kind if self.tolerance is None else f"{self.kind}: {self.tolerance}"
        where = f"first at {self.first}, because {self.cause}"
        if self.kind == WITHIN:
            return f"{WITHIN}: {self.tolerance}; the first difference is at {self.first}: " + (
                self.cause
            )
        return f"{self.kind}: {where}"

    def to_json(self) -> dict[str, Any]:
        """Returns the answer as ``--json`` shows it."""
        return {
            "run_id": self.run_id,
            "answer": self.kind,
            "sentence": self.sentence,
            "how": self.how.value,
            "first": self.first,
            "because": None if self.first is None else self.cause,
            "differences": [{"kind": one.kind, "text": one.text} for one in self.differences],
            "tolerance": self.tolerance,
            "compared": list(self.compared),
            "not_compared": list(self.not_compared),
            "model_digest": self.model,
            "model_digest_again": self.model_again,
        }
