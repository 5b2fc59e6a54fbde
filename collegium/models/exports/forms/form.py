"""A form of a model, and how far its outputs are from the model's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from collegium.models.exports.forms.network import BuiltModel
from collegium.models.exports.released import ReleasedModel
from protocol.errors import PolicyRefused

Outputs: TypeAlias = NDArray[np.float32]


class FormUnavailable(PolicyRefused):
    """A model that cannot be written in a form; the message says why."""


@dataclass(frozen=True, kw_only=True)
class WrittenForm:
    """A form as it was written.

    Attributes:
        files: its files, by their paths in the folder; the first is the model.
        run: gives the outputs of (records, ...) encoded inputs, by the form as it was written.
        software: the versions that it was made with.
        facts: more about it, for ``fidelity.json``.
    """

    files: tuple[str, ...]
    run: Callable[[Outputs], Outputs]
    software: Mapping[str, str]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelForm:
    """A form that an export may have.

    Attributes:
        name: as people type it.
        extra: the extra of the package that writes it.
        most: how far its outputs may be from the model's; None where that is only told.
        write: writes it into a folder. Raises FormUnavailable where the model has no such form.
    """

    name: str
    extra: str
    most: float | None
    write: Callable[[ReleasedModel, BuiltModel, Path], WrittenForm]


def fidelity_of(form: ModelForm, written: WrittenForm, built: BuiltModel) -> dict[str, Any]:
    """Returns how far a form is from the model, on the reference inputs.

    Raises:
        PolicyRefused: further than it may be, so that it is another model.
    """
    outputs = written.run(built.inputs)
    differences = np.abs(outputs.astype(np.float64) - built.outputs)
    largest = float(differences.max())
    if form.most is not None and not largest <= form.most:
        raise PolicyRefused(
            f"the form {form.name} differs from the model by {largest:.2g} on reference inputs, at "
            f"most {form.most:g} is allowed: leave it out (--forms), and report it"
        )
    told: dict[str, Any] = {
        "files": list(written.files),
        "largest_difference": largest,
        "mean_difference": float(differences.mean()),
        "allowed": form.most,
        "reference_inputs": len(built.inputs),
        "software": dict(written.software),
    }
    if built.gives_probabilities:
        risks = np.abs(_risks(outputs) - _risks(built.outputs))
        told |= {
            "largest_risk_difference": float(risks.max()),
            "decisions_changed": int(np.count_nonzero((outputs > 0) != (built.outputs > 0))),
        }
    return told | dict(written.facts)


def _risks(logits: Outputs) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
