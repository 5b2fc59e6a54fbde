"""``study new``: a study document to be filled in, from a template or from a MONAI bundle."""

from collections.abc import Callable, Mapping
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
from collegium.studies.authoring.template_tasks import TEMPLATES
from collegium.studies.authoring.worked.adapted import Changes, adapted_text
from collegium.studies.authoring.worked.catalogue import WORKED_TEMPLATES, WorkedTemplate
from collegium.studies.authoring.worked.figures import measured_figures
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study import nearest


@dataclass(frozen=True, kw_only=True)
class NewStudyOptions:
    """Options of ``study new`` that choose the source of a new study, as they were typed."""

    template: str | None
    bundle: Path | None
    without: str | None
    with_weights: bool
    shape: str | None


def write_new_study(
    to: Path, options: NewStudyOptions, fields: Mapping[str, Any], console: Console
) -> dict[str, Any]:
    """Writes a new study, tells what it is made of, and returns that for ``--json``.

    Raises:
        StudyRefused: what was said, or the bundle, makes no study; nothing is written then.
        WorkspaceRefused: the file is there already, or cannot be written.
    """

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if options.bundle is None:
        if options.without or options.shape or not options.with_weights:
            raise StudyRefused("--without, --no-weights and --shape go with --bundle")
        named = options.template or "binary_classification"
        if named in WORKED_TEMPLATES:
            return _write_worked(to, WORKED_TEMPLATES[named], Changes(**fields), tell)
        write_study(to, study_template(task=_known(named), **fields))
        tell(f"made   {to}: a valid study template; fill it in, then collegium study check {to}")
        return {"study": str(to)}
    choices = BundleChoices(
        task=options.template,
        shape=_sides(options.shape),
        without=tuple(filter(None, (options.without or "").split(","))),
        with_weights=options.with_weights,
    )
    made = study_from_bundle(options.bundle, choices, **fields)
    beside = write_from_bundle(to, made)
    tell(f"made   {to}: a study from the MONAI bundle {options.bundle}")
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


def _known(template: str) -> str:
    """Returns the name of an empty template.

    Raises:
        StudyRefused: there is no template of that name; names the one that was probably meant.
    """
    if template not in TEMPLATES:
        raise StudyRefused(
            f"--template {template}: there is none of that name"
            f"{nearest(template, [*WORKED_TEMPLATES, *TEMPLATES])}; collegium study templates "
            "lists them"
        )
    return template


def _write_worked(
    to: Path, template: WorkedTemplate, changes: Changes, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Writes a study from a worked template, with the files that it needs beside it."""
    text, figure = adapted_text(template, changes), measured_figures()[template.name]
    named = template.beside if changes.sites is None else template.parameters
    beside = {to.parent / file.name: file.read_bytes() for file in named}
    for path, data in beside.items():
        if path.exists() and path.read_bytes() != data:
            raise WorkspaceRefused(f"{path} is there already, with other bytes: name another --to")
    write_study(to, text)
    for path, data in beside.items():
        path.write_bytes(data)
    tell(f"made   {to}: the template {template.name}; {figure.said}")
    tell(f"  measured on: {template.records}")
    for path in beside:
        tell(f"  beside it: {path.name}; it goes wherever the study goes")
    if changes.sites is None:
        tell(f"  its records: {template.brought_by}")
        tell(f"next: collegium study check {to} --data records")
    else:
        tell(f"change what is not yours, then collegium study check {to}")
    return {
        "study": str(to),
        "template": template.name,
        "beside": [str(path) for path in beside],
        "measured": figure.to_json(),
    }


def _sides(typed: str | None) -> tuple[int, ...] | None:
    if typed is None:
        return None
    words = typed.split(",")
    if len(words) not in (2, 3) or not all(w.isdecimal() and 0 < int(w) <= 4096 for w in words):
        raise StudyRefused(f"--shape {typed}: two or three sides from 1 to 4096, for example 96,96")
    return tuple(map(int, words))
