"""Rules about a study's task, network and evaluation."""

from collections.abc import Iterator

from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.cohort.labels import SurvivalLabel, TimeToEventLabel
from protocol.study.privacy import NoPrivacy
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord
from protocol.study.task.networks.fusions import LateFusion
from protocol.study.task.networks.registry import networks_for
from protocol.study.task.recipes import RecipeUse
from protocol.study.task.task import LABEL_FORMS, Survival


def task_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of a task that the cohort, the network or the privacy does not fit."""
    task, label, problems = study.task, study.cohort.label, []
    if isinstance(study.cohort, TableCohort) and study.cohort.on_missing == "count":
        problems.append(
            ("cohort.on_missing", "count goes with task.kind statistics: a model needs every cell")
        )
    problems += _network_problems(study)
    if isinstance(study.cohort, ImageCohort):
        problems += [(f"cohort.image.{key}", why) for key, why in study.cohort.image.misfits()]
    if task.augmentation is not None:
        problems += task.augmentation.misfits(study.cohort.input_forms[0][1:])
    if not isinstance(label, task.label):
        needed = LABEL_FORMS[task.kind]
        return [*problems, ("cohort.label", f"task {task.kind} needs a label with {needed}")]
    if isinstance(task, Survival) and isinstance(label, SurvivalLabel | TimeToEventLabel):
        if task.times[-1] > label.range[1]:
            problems.append(
                (
                    "task.times",
                    f"{task.times[-1]:g} lies beyond the label's range, which ends at "
                    f"{label.range[1]:g}",
                )
            )
        if task.loss == "cox" and not isinstance(study.privacy, NoPrivacy):
            problems.append(
                (
                    "task.loss",
                    "cox compares patients with each other, so no patient's influence is bounded: "
                    "use loss: hazard, or privacy.mode none",
                )
            )
    return problems


def _network_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problem of a network that takes other records, or gives something else."""
    cohort, task = study.cohort, study.task
    contents, network = cohort.contents, task.network
    own_inputs = isinstance(network, RecipeUse) and len(cohort.input_forms) == 1
    if own_inputs or (network.cohort, network.gives) == (contents, task.gives):
        return []
    if isinstance(cohort, ImageCohort) and cohort.columns and task.gives == "masks":
        return [("cohort.columns", "a mask is made of the image alone: take columns out")]
    fitting = " or ".join(networks_for(contents, task.gives)) or "another task"
    what = "" if task.gives == "scores" else f" and a task of {task.gives}"
    hint = ""
    if contents == LateFusion.cohort:
        hint = (
            ": {_target_: LateFusion, image: {_target_: ...}, table: {_target_: "
            "FullyConnectedNet}}; or take cohort.columns out"
        )
    elif isinstance(network, LateFusion):
        hint = "; LateFusion needs images, and cohort.columns beside them"
    return [("task.network", f"a cohort of {contents}{what} needs {fitting}{hint}")]


def evaluation_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of counts by group, or in bins, that the task or the cohort has not."""
    evaluation, problems = study.evaluation, []
    binned = study.task.kind == "binary_classification"
    if evaluation.site_bins != 2 and not binned:
        problems.append(("evaluation.site_bins", "only binary classification has them"))
    if evaluation.groups and not study.has_model:
        problems.append(("evaluation.groups", "statistics are of columns: leave them out"))
    problems += [
        (f"evaluation.groups.{name}.column", "a patient's key makes no group")
        for name, grouping in evaluation.groups.items()
        if grouping.column == study.cohort.patient_key
    ]
    return problems + ([*_differences(study)] if isinstance(study.privacy, NoPrivacy) else [])


def _differences(study: StudyRecord) -> Iterator[Problem]:
    """Yields the groupings of which one and another would tell of the few in between."""
    seen: dict[str, str] = {}
    for name, grouping in study.evaluation.groups.items():
        if grouping.column in seen:
            yield (
                f"evaluation.groups.{name}.column",
                f"without noise, groups too small to be shown would follow from {name} and "
                f"{seen[grouping.column]}, which are of one column: leave one out",
            )
        seen.setdefault(grouping.column, name)
