"""The contradictions of a study: rules that span several of its sections, checked together.

Each is a path in the study's document and what is wrong there.
"""

from collections.abc import Iterator
from typing import Any

from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord
from protocol.study.study.rules.correlated_noise_rules import correlated_noise_problems
from protocol.study.study.rules.evaluation_only_rules import evaluation_only_problems
from protocol.study.study.rules.interim_rules import interim_problems
from protocol.study.study.rules.participation_rules import participation_problems
from protocol.study.study.rules.preregistration_rules import preregistration_problems
from protocol.study.study.rules.privacy_rules import aggregation_problems, privacy_problems
from protocol.study.study.rules.records_rules import column_problems, record_problems, site_problems
from protocol.study.study.rules.statistics_rules import statistics_problems
from protocol.study.study.rules.task_rules import evaluation_problems, task_problems
from protocol.study.study.rules.training_rules import training_problems
from protocol.study.task.recipes import recipe_problems

#: From here on integers have no form in canonical JSON, and below that floats look like them.
_LEAST_UNREADABLE, _WITH_EXPONENT = 2.0**53, 1e21


def contradictions(study: StudyRecord) -> list[Problem]:
    """Returns (path, problem) pairs for rules that span several fields."""
    return [
        *column_problems(study),
        *site_problems(study),
        *record_problems(study),
        *(task_problems(study) if study.has_model else statistics_problems(study)),
        *evaluation_only_problems(study),
        *evaluation_problems(study),
        *interim_problems(study),
        *recipe_problems(study.recipes, study.task.recipe_uses),
        *training_problems(study),
        *privacy_problems(study),
        *correlated_noise_problems(study),
        *aggregation_problems(study),
        *participation_problems(study),
        *preregistration_problems(study),
        *_unreadable_numbers(study.model_dump(mode="json"), ""),
    ]


def _unreadable_numbers(value: Any, path: str) -> Iterator[Problem]:
    """Yields numbers that canonical JSON writes like an integer which it then does not read."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unreadable_numbers(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from _unreadable_numbers(inner, path)
    elif isinstance(value, float) and _LEAST_UNREADABLE <= abs(value) < _WITH_EXPONENT:
        yield path, f"{value:g} is too large a number for a study: stay below 9e15"
