"""``study statistics``: the study that counts the columns of a table study, beside it.

Ranges to count in are public: three of a column's declared scales around its declared centre,
within its declared range, because the narrower a range the less the noise of mean and deviation.
A column that declares no scale keeps its range.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from collegium.studies.authoring.template import write_study
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import CategoryColumn, Column, OtherColumn
from protocol.study.cohort.labels import Label, SurvivalLabel, TimeToEventLabel
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study

#: What a column says for a model alone.
_LEARNED = frozenset({"centre", "scale", "impute"})
#: So many scales lie between a column's centre and the ends of what is counted.
_SCALES = 3
_HEAD = """\
# Statistics of the columns of {name} (digest {digest}).
# collegium study statistics wrote it. Ranges are public and bound what one patient changes: numbers
# beyond them count as their ends. patients: all of a hospital's, a public round number that it does
# not exceed; twice the declared training patients until you mend it.
"""


def write_statistics_study(
    study: Study, to: Path, *, epsilon: float | None, bins: int, console: Console
) -> dict[str, Any]:
    """Writes the statistics study of a table study; says what to do next.

    Raises:
        StudyRefused: it is of images, counts columns itself, or promises nothing else.
        WorkspaceRefused: the file is there already, or cannot be written.
    """
    text = statistics_text(study, epsilon=epsilon, bins=bins)
    write_study(to, text)
    console.print(
        f"made   {to}: counts the columns of {study.name}; mend patients and ranges, then "
        f"collegium study check {to}",
        markup=False,
        soft_wrap=True,
    )
    return {"study": str(to), "name": read_study(text, str(to)).name}


def statistics_text(study: Study, *, epsilon: float | None = None, bins: int = 0) -> str:
    """Returns the text of the study that counts a table study's columns.

    Args:
        study: whose columns; its sites, partition, patients' key and promises are taken over.
        epsilon: what each patient pays; the study's own where it is None.
        bins: of a histogram of each column of numbers; 0 for none.

    Raises:
        StudyRefused: it is of images, or counts columns itself.
    """
    cohort = study.cohort
    if not isinstance(cohort, TableCohort) or not study.has_model:
        raise StudyRefused(f"{study.name}: statistics are of the columns of a study of a table")
    if isinstance(cohort.label, TimeToEventLabel):
        raise StudyRefused(
            f"{study.name}: statistics count no times to an event: in a copy of it write a label "
            "with within_days, and task.kind binary_classification"
        )
    document = {
        "collegium": 1,
        "name": f"{study.name[:51]}-statistics",
        "title": f"Columns of: {study.title}"[:200],
        "purpose": f"Count the patients, missing values, means and deviations of the columns of "
        f"{study.name}. {study.purpose.strip()}"[:2000],
        "cohort": counted_cohort(cohort, _column),
        **({"partition": written(study.partition)} if study.partition else {}),
        "sites": [counted_site(study, name) for name in (site.name for site in study.sites)],
        "task": {"kind": "statistics"} | ({"bins": bins} if bins else {}),
        "privacy": counting_privacy(study, epsilon),
        "aggregation": written(study.aggregation) or {"colluders": 1},
        "evaluation": {"site_share": 0.05},
    }
    text = _HEAD.format(name=study.name, digest=study.digest) + yaml_text(document)
    read_study(text, "the statistics study")
    return text


def yaml_text(document: dict[str, Any]) -> str:
    """Returns a study as people write it: one line for a site, a column, a small section."""
    whole: Any = CommentedMap(document)
    whole["cohort"] = CommentedMap(whole["cohort"])
    for section, key in ((whole, "sites"), (whole["cohort"], "columns")):
        if key in section:
            section[key] = [_on_one_line(each) for each in section[key]]
    for section, key in (
        (whole["cohort"], "label"),
        *((whole, name) for name in ("task", "privacy", "aggregation", "evaluation")),
    ):
        section[key] = _in_short_lines(section[key])
    yaml, made = YAML(), io.StringIO()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(whole, made)
    return made.getvalue()


def _in_short_lines(values: dict[str, Any]) -> Any:
    """Returns a section on one line; one that holds another section has a line for each key."""
    if not any(isinstance(value, dict) for value in values.values()):
        return _on_one_line(values)
    lines: Any = CommentedMap(values)
    for key, value in values.items():
        if isinstance(value, dict):
            lines[key] = _in_short_lines(value)
        elif isinstance(value, list):
            lines[key] = CommentedSeq(value)
            lines[key].fa.set_flow_style()
    return lines


def _on_one_line(values: dict[str, Any]) -> Any:
    line: Any = CommentedMap(values)
    line.fa.set_flow_style()
    return line


def written(section: Any) -> dict[str, Any]:
    """Returns what a person wrote of a section."""
    found: dict[str, Any] = section.model_dump(mode="json", exclude_unset=True)
    return found


def counted_cohort(
    cohort: TableCohort, column_of: Callable[[Column], dict[str, Any]]
) -> dict[str, Any]:
    """Returns a cohort whose columns are counted, each as ``column_of`` writes it."""
    found = written(cohort)
    found["on_missing"] = "count"
    found["label"] = counted_label(cohort.label)
    found["columns"] = [column_of(column) for column in cohort.columns]
    for key in ("allow_one_class", "min_per_class"):  # nothing is learned of classes
        found.pop(key, None)
    return found


def counted_label(label: Label) -> dict[str, Any]:
    """Returns a label as it is counted."""
    if isinstance(label, SurvivalLabel):  # the event is counted, and not the time to it
        values = written(label)
        meaning = values.get("clinical")
        return {
            "column": label.event,
            "positive": values["occurred"],
            "negative": values["censored"],
            **({"clinical": meaning | {"take": "exists"}} if meaning else {}),
        }
    return written(label)


def _column(column: Column) -> dict[str, Any]:
    """Returns a column as it is declared, but for how it is counted: range, and no imputing."""
    found = {key: value for key, value in written(column).items() if key not in _LEARNED}
    if isinstance(column, OtherColumn | CategoryColumn) or column.range is None:
        return found
    low, high = column.range
    if "scale" in column.model_fields_set:
        reach = _SCALES * column.scale
        near = max(low, column.centre - reach), min(high, column.centre + reach)
        low, high = near if near[0] < near[1] else (low, high)
    limits = [int(end) if float(end).is_integer() else end for end in (low, high)]
    found |= {"range": limits, "outside": "clip"}
    if "replace" in found:
        found["replace"] = {
            text: min(max(value, low), high) for text, value in found["replace"].items()
        }
    return found


def counted_site(study: Study, name: str) -> dict[str, Any]:
    """Returns a site of which every patient is counted."""
    found = written(study.site(name))
    found.pop("sampling_rate", None)
    return found | {"patients": 2 * study.site(name).patients}  # neither part is larger


def counting_privacy(study: Study, epsilon: float | None) -> dict[str, Any]:
    """Returns the privacy of a study that counts, as this study's or with another epsilon."""
    privacy = study.privacy
    if not isinstance(privacy, PatientPrivacy):
        return {"mode": "none", "sampling_rate": 1.0}
    unit = {"unit": privacy.unit} if privacy.unit != "patient" else {}
    return {
        "mode": "per_site", **unit, "epsilon": epsilon or privacy.epsilon,
        "delta": privacy.delta, "sampling_rate": 1.0,
    }  # fmt: skip
