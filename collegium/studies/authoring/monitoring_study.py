"""``monitor plan``: the study that counts a calendar of releases, beside the model that it watches.

A plan is a study, so hospitals approve it, price it and refuse it like any other, and its digest
is in the audit log before anything is counted.
"""

from dataclasses import dataclass
from typing import Any

from collegium.studies.authoring.statistics_study import (
    counted_cohort,
    counted_site,
    counting_privacy,
    written,
    yaml_text,
)
from protocol.encoding import digest
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import CategoryColumn, Column, OtherColumn
from protocol.study.cohort.labels import BinaryLabel, EventLabel, TimeToEventLabel
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.task.monitoring import ScoredModel
from protocol.study.task.recipes import RecipeUse
from protocol.study.task.task import BinaryClassification
from protocol.vectors.score_grid import ScoreGrid

_HEAD = """\
# A calendar of {releases} releases, after a reference, of the columns of {name}
# (digest {digest}).
# collegium monitor plan wrote it. Its epsilon is that of all its releases together: a patient may
# be in each of them. patients: all of a hospital's, a public round number that it does not exceed;
# twice the declared training patients until you mend it.
"""


@dataclass(frozen=True, kw_only=True)
class WatchedModel:
    """A released model, to be watched by its scores.

    Attributes:
        run_id: the run that released it.
        data: its parameters, as safetensors bytes.
        grid: on which its scores are counted.
    """

    run_id: str
    data: bytes
    grid: ScoreGrid

    @property
    def file(self) -> str:
        """The name of the file of its parameters, beside the plan."""
        return f"model-{self.run_id}.safetensors"


@dataclass(frozen=True, kw_only=True)
class CalendarWish:
    """A calendar that is asked for: its length, its price, what it watches.

    Attributes:
        releases: after the reference.
        epsilon: of one patient, for all releases together; the study's own where it is None.
        bins: of a number, and of the scores.
        watch: the features; all where there is none.
    """

    releases: int
    epsilon: float | None = None
    bins: int = 8
    watch: tuple[str, ...] = ()


def monitoring_text(study: Study, wish: CalendarWish, model: WatchedModel | None = None) -> str:
    """Returns the text of the study that counts a calendar of releases.

    Args:
        study: whose columns and label; its sites, partition and promises are taken over.
        wish: the calendar.
        model: of which scores are counted too; None for columns alone.

    Raises:
        StudyRefused: it is of images, counts columns itself, or has no score to be counted.
    """
    cohort = study.cohort
    if not isinstance(cohort, TableCohort) or not study.has_model:
        raise StudyRefused(f"{study.name}: monitoring is of the columns of a study of a table")
    if isinstance(cohort.label, TimeToEventLabel):
        raise StudyRefused(
            f"{study.name}: no times to an event are watched: in a copy of it write a label with "
            "within_days, and task.kind binary_classification"
        )
    task: dict[str, Any] = {"kind": "monitoring", "releases": wish.releases, "bins": wish.bins}
    if wish.watch:
        task["watch"] = list(wish.watch)
    if model is not None:
        task["model"] = _scored(study, wish, model)
    document = {
        "collegium": 1,
        "name": f"{study.name[:51]}-monitoring",
        "title": f"Drift of: {study.title}"[:200],
        "purpose": "Watch the patients and the scores of a model in use, by noised counts in "
        f"{wish.releases} releases after a reference. {study.purpose.strip()}"[:2000],
        "cohort": counted_cohort(cohort, _column),
        **({"partition": written(study.partition)} if study.partition else {}),
        "sites": [_site(study, site.name, wish.epsilon) for site in study.sites],
        "task": task,
        "privacy": counting_privacy(study, wish.epsilon),
        "aggregation": written(study.aggregation) or {"colluders": 1},
        "evaluation": {"site_share": 0.05},
    }
    text = _HEAD.format(releases=wish.releases, name=study.name, digest=study.digest)
    text += yaml_text(document)
    read_study(text, "the monitoring plan")
    return text


def can_be_scored(study: Study) -> str:
    """Returns why a study's model cannot be watched by its scores; empty where it can."""
    task = study.task
    if not isinstance(task, BinaryClassification) or not isinstance(
        study.cohort.label, BinaryLabel | EventLabel
    ):
        return "scores are watched of models that say ill or not"
    if task.is_partly_frozen:
        return "scores are watched of models whose parameters are all released: none frozen"
    if isinstance(task.network, RecipeUse) or study.recipes:
        return "scores are watched of networks that Collegium has itself"
    return ""


def _scored(study: Study, wish: CalendarWish, model: WatchedModel) -> dict[str, Any]:
    why = can_be_scored(study)
    if why:
        raise StudyRefused(f"{study.name}: {why}; leave --from out to watch columns alone")
    impute = {
        column.name: column.impute for column in study.cohort.features if column.impute is not None
    }
    scored = ScoredModel.model_validate(
        {
            "network": study.task.network.model_dump(mode="json"),
            "pretrained": {
                "file": model.file,
                "sha256": digest(model.data),
                "source": f"released by run {model.run_id} of {study.name}, {study.digest}",
            },
            "centre": model.grid.middle,
            "spread": model.grid.spread,
            "bins": wish.bins,
            "impute": impute,
        }
    )
    found: dict[str, Any] = scored.model_dump(mode="json")
    return found


def _column(column: Column) -> dict[str, Any]:
    """Returns a column as its model reads it, but for missing cells and numbers out of range."""
    found = {key: value for key, value in written(column).items() if key != "impute"}
    if isinstance(column, OtherColumn | CategoryColumn) or column.range is None:
        return found
    return found | {"outside": "clip"}


def _site(study: Study, name: str, epsilon: float | None) -> dict[str, Any]:
    found = counted_site(study, name)
    own = found.get("epsilon")
    if own is not None and epsilon is not None and own >= epsilon:
        found.pop("epsilon")
    return found
