"""The preregistration of a study as a check shows it, before anything is computed."""

from typing import Any

from rich.console import Console

from compliance.facts.dossier.preregistration import require_releasable
from protocol.study.study import Study


def describe_preregistration(study: Study, console: Console) -> dict[str, Any] | None:
    """Says what a study sets out to show, and what decides it; None where it does not say.

    Raises:
        StudyRefused: a criterion is of a figure that this study never releases, or that no run
            could reach.
    """
    said = study.preregistration
    if said is None:
        return None
    require_releasable(study)
    console.print(
        f"  preregistered: {said.primary.name} (primary): {said.primary.text}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    for one in said.success:
        console.print(f"    {one.name}: {one.words}", markup=False, soft_wrap=True)
    console.print(
        f"    secondary hypotheses: {len(said.hypotheses) - 1}; contingencies: "
        f"{len(said.contingencies)}; the log registers it before the first round",
        soft_wrap=True,
    )
    return said.model_dump(mode="json")
