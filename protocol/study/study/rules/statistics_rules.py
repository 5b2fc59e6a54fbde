"""Rules about a study that trains nothing: statistics, and calendars of monitoring."""

from protocol.study.cohort.cohort import TableCohort
from protocol.study.privacy import PerSitePrivacy
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord, no_training
from protocol.study.study.splits import KeyedHashSplit
from protocol.study.task.monitoring import SCORE, Monitoring
from protocol.study.task.statistics import Statistics
from protocol.study.task.task import LABEL_FORMS, BinaryClassification


def statistics_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of a study that counts columns: whatever of it says how to learn."""
    task, cohort, privacy = study.task, study.cohort, study.privacy
    if not isinstance(task, Statistics) or not isinstance(cohort, TableCohort):
        return [("cohort.kind", "statistics are of a table's columns: kind: table")]
    if not isinstance(cohort.label, task.label):
        needed = LABEL_FORMS[task.kind]
        return [("cohort.label", f"task {task.kind} needs a label with {needed}")]
    names = [column.name for column in task.columns(cohort)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    evaluation, split = study.evaluation, study.split
    wrong: list[tuple[bool, str, str]] = [
        (
            bool(repeated),
            "cohort.label.findings",
            f"a column is called so too: {', '.join(repeated)}",
        ),
        (study.training != no_training(), "training", "nothing is trained: leave it out"),
        (
            not isinstance(split, KeyedHashSplit),
            "split",
            "every patient is counted: leave it out",
        ),
        (
            evaluation.epsilon is not None,
            "evaluation.epsilon",
            "every patient pays privacy.epsilon: leave it out",
        ),
        (
            privacy.mode == "distributed",
            "privacy.mode",
            "every hospital's counts have noise enough of their own: mode per_site",
        ),
        (
            privacy.sampling_rate != 1
            or any(s.sampling_rate not in (None, 1) for s in study.sites),
            "privacy.sampling_rate",
            "every patient is counted: sampling_rate: 1",
        ),
        (
            isinstance(privacy, PerSitePrivacy)
            and (
                privacy.noise_multiplier is not None
                or privacy.adaptive_clip is not None
                or privacy.correlated_noise is not None
            ),
            "privacy",
            "noise_multiplier, adaptive_clip and correlated_noise are of training: leave them out",
        ),
    ]
    wrong += _monitoring_problems(study)
    return [(path, problem) for is_wrong, path, problem in wrong if is_wrong]


def _monitoring_problems(study: StudyRecord) -> list[tuple[bool, str, str]]:
    """Returns what may be wrong with a calendar of releases: (whether it is, path, problem)."""
    task, cohort = study.task, study.cohort
    if not isinstance(task, Monitoring) or not isinstance(cohort, TableCohort):
        return []
    features = [column.name for column in cohort.features]
    unknown = sorted({*task.watch} - {*features})
    imputed = sorted({*(task.model.impute if task.model else {})} - {*features})
    return [
        (bool(unknown), "task.watch", f"no feature is called {', '.join(unknown)}"),
        (bool(imputed), "task.model.impute", f"no feature is called {', '.join(imputed)}"),
        (SCORE in features, "cohort.columns", f"{SCORE!r} is the name of the scores"),
        (
            task.model is not None and not isinstance(cohort.label, BinaryClassification.label),
            "task.model",
            "scores are counted of a model that says ill or not",
        ),
        (
            cohort.on_missing != "count",
            "cohort.on_missing",
            "missing values are watched: on_missing: count",
        ),
    ]
