"""Rules about a study's columns, hospitals and records."""

from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.labels import SurvivalLabel
from protocol.study.strategies.strategy import Problem
from protocol.study.study.names import nearest
from protocol.study.study.record import StudyRecord
from protocol.study.study.sites import PartitionBySkew
from protocol.study.study.splits import ColumnSplit


def column_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of a patient key or label that is not a declared column."""
    if not isinstance(study.cohort, TableCohort):
        return []
    declared = [column.name for column in study.cohort.columns]
    label = study.cohort.label
    used = [("label.column", name) for name in label.columns]
    if isinstance(label, SurvivalLabel):
        used[-1] = ("label.event", label.event)
    if study.cohort.patient_key != "row":
        used.insert(0, ("patient_key", study.cohort.patient_key))
    return [
        (
            f"cohort.{key}",
            f"no column is called {name!r}: the columns are {', '.join(declared)}; add "
            f"{{name: {name}, kind: other}} if the files have it{nearest(name, declared)}",
        )
        for key, name in used
        if name not in declared
    ]


def site_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of the hospitals' number and names."""
    names = [site.name for site in study.sites]
    problems = []
    if len(names) < 3:
        problems.append(
            (
                "sites",
                f"at least three sites are needed, got {len(names)}: with two, the sum "
                "shows each the other's update",
            )
        )
    if len(names) > 100:
        problems.append(("sites", f"at most 100 sites, got {len(names)}"))
    if "coordinator" in names:
        problems.append(("sites", "no site may be called coordinator: another party is"))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        problems.append(("sites", f"site names are repeated: {', '.join(repeated)}"))
    return problems


def record_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of where records come from, and how they are split."""
    problems = []
    if study.partition is not None:
        how = study.partition.how
        if isinstance(how, PartitionBySkew) and len(how.shares) != len(study.sites):
            problems.append(
                (
                    "partition.how.shares",
                    f"{len(study.sites)} sites need {len(study.sites)} shares, "
                    f"got {len(how.shares)}",
                )
            )
    else:
        without = [site.name for site in study.sites if site.records is None]
        if without and len(without) < len(study.sites):
            problems.append(("sites", f"sites without records: {', '.join(without)}"))
    features = {column.name for column in study.cohort.features}
    if isinstance(study.split, ColumnSplit) and study.split.column in features:
        problems.append(("split.column", "the split column must not be a feature"))
    return problems
