"""The text of a worked template: as it was measured, or with other hospitals.

Without ``--sites`` the study stays that of its records, and runs on them. With other hospitals it
reads a file of each, splits by their own keys, and asks for the usual quorum: all else, columns
too, is to be changed by hand. Comments and order stay.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import FoldedScalarString

from collegium.studies.authoring.worked.catalogue import WorkedTemplate
from collegium.studies.authoring.worked.figures import measured_figures
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.documents.edited_text import edited_text
from protocol.study.study import ColumnSplit, FileSplit, PartitionByColumn, Study
from protocol.study.study_file import read_study

_HEAD = """\
# A study, begun from the template {name}: {says}.
# Measured with its own records and columns ({records}):
#   {measured}.
# With other patients the figure is another one. {next}
"""
_AS_IT_IS = """\
It runs as it stands:
#   {brought_by}
#   collegium simulate THIS-FILE --data records --out out
# For hospitals of your own begin again with --sites, or change it by hand: docs/study.md."""
_TO_CHANGE = """\
Change what is not yours, from top
# to bottom: columns with their ranges, which nobody computes from raw records; label; patients, a
# public round number of training patients that a hospital does not exceed; epsilon. Then
#   collegium study check THIS-FILE --data FOLDER-OF-RECORDS
# docs/study.md explains every key."""
_SITES = " # patients: declared training patients, a public round number; mend it"
_FRACTION = 0.3


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The parts that a new study has of its own; None leaves what the template has."""

    name: str | None = None
    title: str | None = None
    purpose: str | None = None
    sites: Sequence[str] | None = None
    epsilon: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the template stays as it is."""
        return all(value is None for value in vars(self).values())


def adapted_text(template: WorkedTemplate, changes: Changes) -> str:
    """Returns the text of a new study from a worked template.

    Raises:
        StudyRefused: a name, the number of sites or epsilon is wrong, or the template promises
            nothing that ``epsilon`` could change.
    """
    study = template.study
    text = _without_head(template.document.read_text(encoding="utf-8"))
    if not changes.is_empty:
        text = _changed(text, study, changes)
    head = _HEAD.format(
        name=template.name,
        says=template.says,
        records=template.records,
        measured=measured_figures()[template.name].said,
        next=_AS_IT_IS.format(brought_by=template.brought_by)
        if changes.sites is None
        else _TO_CHANGE,
    )
    read_study(head + text, "the new study")
    return head + text


def _without_head(text: str) -> str:
    """Returns a document without the comment at its head, which is about the example."""
    lines = text.splitlines(keepends=True)
    first = next(at for at, line in enumerate(lines) if line.strip() and line[0] != "#")
    return "".join(lines[first:])


def _changed(text: str, study: Study, changes: Changes) -> str:
    made = edited_text(text, lambda document: _change(document, study, changes))
    # With what was taken out went the empty line behind it.
    made = re.sub(r"(?<!\n)\n(split|task):", r"\n\n\1:", made)
    return made if changes.sites is None else re.sub(r"\nsites:.*\n", f"\nsites:{_SITES}\n", made)


def _change(document: Any, study: Study, changes: Changes) -> None:
    if changes.name is not None:
        document["name"] = changes.name
    if changes.title is not None:
        document["title"] = changes.title
    if changes.purpose is not None:
        document["purpose"] = FoldedScalarString(changes.purpose + "\n")
    if changes.epsilon is not None:
        if "epsilon" not in document["privacy"]:
            raise StudyRefused(
                f"--epsilon {changes.epsilon:g}: the template promises nothing (mode "
                f"{study.privacy.mode}): write a section privacy by hand, see docs/study.md"
            )
        document["privacy"]["epsilon"] = changes.epsilon
    if changes.sites is not None:
        _with_sites(document, study, changes.sites)


def _with_sites(document: Any, study: Study, sites: Sequence[str]) -> None:
    """Puts other hospitals in, a file each, and takes out what only the template's records need."""
    ending = "csv" if isinstance(study.cohort, TableCohort) else "npz"
    patients = _round(sum(site.patients for site in study.sites) / len(study.sites))
    found = CommentedSeq()
    for name in sites:
        line = CommentedMap(name=name, records=f"{name}.{ending}", patients=patients)
        line.fa.set_flow_style()
        found.append(line)
    document["sites"] = found
    for key in ("threshold", "min_sites"):
        document["aggregation"].pop(key, None)
    document.pop("partition", None)
    if isinstance(study.split, ColumnSplit | FileSplit):
        split = CommentedMap(method="keyed_hash", test_fraction=_FRACTION)
        split.fa.set_flow_style()
        document["split"] = split
    used = {
        study.partition.how.column
        if study.partition is not None and isinstance(study.partition.how, PartitionByColumn)
        else None,
        study.split.column if isinstance(study.split, ColumnSplit) else None,
    }
    columns = document["cohort"].get("columns", [])
    for at in reversed(range(len(columns))):
        if columns[at]["name"] in used and columns[at]["kind"] == "other":
            del columns[at]


def _round(number: float) -> int:
    """Returns a count to two digits, upwards: what people declare.

    >>> _round(122.5), _round(400), _round(7)
    (130, 400, 7)
    """
    step = 10 ** max(0, len(str(int(number))) - 2)
    return int(-(-number // step) * step)
