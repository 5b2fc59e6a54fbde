"""A hospital's check of what a run's model gives away of its own training patients.

The figures are exact, so they stay here: nothing of them is sent, logged or written, not even
whether the model passed. A pass that depended on records would be a release that nobody has paid
for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silos.results.run_results import ask_about_model

#: What stands beside the figures.
STAYS_HERE = (
    "These figures are exact and are not differentially private: neither they nor whether the "
    "model passed may leave this hospital. Nothing of them is sent, logged or written."
)


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """The figures of a check, and which of them are shown to lie above what is allowed.

    Attributes:
        run_id: the run whose model was checked.
        found: figures, see ``silos.isolation.own_leaks.leaks``.
        above: what is shown to lie above its limit, in words; empty where nothing is.
    """

    run_id: str
    found: dict[str, Any]
    above: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns what machines of this hospital read."""
        return {
            "run": self.run_id,
            **self.found,
            "above": list(self.above),
            "note": STAYS_HERE,
        }


def check_leaks(
    home: Path, run: str, *, largest_advantage: float, largest_exposure: float
) -> LeakCheck:
    """Returns what a run's final model gives away of the training patients here.

    Members are the run's training patients here, the others its test patients. It is computed in a
    process that gave up files and network, as in a run.

    Args:
        home: the hospital's folder.
        run: its name, or a unique beginning.
        largest_advantage: of a membership attack, as in the register of models.
        largest_exposure: of training patients' records, in bits beyond test patients'.

    Raises:
        PolicyRefused: no model of the run is here, it trained nothing, or there are too few
            patients.
        StudyRefused: the study is not kept here.
        CohortRefused: the records cannot be read, or do not fit.
    """
    run_id, found = ask_about_model(home, run, "leaks")
    above = [
        f"the attacker's advantage ({one['attack']}) is at least {one['advantage']['low']:.3f}"
        for one in found["membership"].values()
        if one["advantage"]["low"] > largest_advantage
    ]
    exposure = found["extraction"]
    if exposure is not None and exposure["excess"]["low"] > largest_exposure:
        above.append(
            "training patients' records are exposed by at least "
            f"{exposure['excess']['low']:.2f} bits more than test patients'"
        )
    return LeakCheck(run_id=run_id, found=found, above=tuple(above))
