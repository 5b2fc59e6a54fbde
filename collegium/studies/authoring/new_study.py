"""``study new``: a study document to be filled in, from a template or from a MONAI bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.studies.authoring.from_bundle import (
    BundleChoices,
    study_from_bundle,
    write_from_bundle,
)
from collegium.studies.authoring.template import study_template, write_study
from protocol.errors import StudyRefused


@dataclass(frozen=True, kw_only=True)
class NewStudy:
    """A person's wishes for a new study beside its words, as they were typed."""

    template: str | None
    bundle: Path | None
    without: str | None
    with_weights: bool
    shape: str | None


def write_new_study(
    to: Path, asked: NewStudy, words: Mapping[str, Any], console: Console
) -> dict[str, Any]:
    """Writes a new study, tells what it is made of, and returns that for ``--json``.

    Raises:
        StudyRefused: what was said, or the bundle, makes no study; nothing is written then.
        WorkspaceRefused: the file is there already, or cannot be written.
    """

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if asked.bundle is None:
        if asked.without or asked.shape or not asked.with_weights:
            raise StudyRefused("--without, --no-weights and --shape go with --bundle")
        write_study(to, study_template(task=asked.template or "binary_classification", **words))
        tell(f"made   {to}: a valid study template; fill it in, then collegium study check {to}")
        return {"study": str(to)}
    choices = BundleChoices(
        task=asked.template,
        shape=_sides(asked.shape),
        without=tuple(filter(None, (asked.without or "").split(","))),
        with_weights=asked.with_weights,
    )
    made = study_from_bundle(asked.bundle, choices, **words)
    beside = write_from_bundle(to, made)
    tell(f"made   {to}: a study from the MONAI bundle {asked.bundle}")
    if beside is not None:
        tell(f"made   {beside}: its weights; they go wherever the study goes")
    for said, lines in (
        ("hospitals' files", made.files),
        ("note", made.notes),
        ("not used", (", ".join(made.not_used),) if made.not_used else ()),
    ):
        for line in lines:
            tell(f"  {said}: {line}")
    tell(f"fill it in, then collegium study check {to}")
    weights = {"weights": None if beside is None else str(beside)}
    return {"study": str(to)} | weights | made.as_json()


def _sides(typed: str | None) -> tuple[int, ...] | None:
    if typed is None:
        return None
    words = typed.split(",")
    if len(words) not in (2, 3) or not all(w.isdecimal() and 0 < int(w) <= 4096 for w in words):
        raise StudyRefused(f"--shape {typed}: two or three sides from 1 to 4096, for example 96,96")
    return tuple(map(int, words))
