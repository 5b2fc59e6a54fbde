"""The contradictions of a study: rules that span several of its sections, checked together.

Each is a path in the study's document and what is wrong there.
"""

from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord
from protocol.study.study.rules.correlated_noise_rules import correlated_noise_problems
from protocol.study.study.rules.interim_rules import interim_problems
from protocol.study.study.rules.participation_rules import participation_problems
from protocol.study.study.rules.privacy_rules import aggregation_problems, privacy_problems
from protocol.study.study.rules.records_rules import column_problems, record_problems, site_problems
from protocol.study.study.rules.statistics_rules import statistics_problems
from protocol.study.study.rules.task_rules import evaluation_problems, task_problems
from protocol.study.study.rules.training_rules import training_problems
from protocol.study.task.recipes import recipe_problems


def contradictions(study: StudyRecord) -> list[Problem]:
    """Returns (path, problem) pairs for rules that span several fields."""
    return [
        *column_problems(study),
        *site_problems(study),
        *record_problems(study),
        *(task_problems(study) if study.trains else statistics_problems(study)),
        *evaluation_problems(study),
        *interim_problems(study),
        *recipe_problems(study.recipes, study.task.recipe_uses),
        *training_problems(study),
        *privacy_problems(study),
        *correlated_noise_problems(study),
        *aggregation_problems(study),
        *participation_problems(study),
    ]
