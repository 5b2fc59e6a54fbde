"""The tasks that a study may name."""

from collections.abc import Mapping

from pipelines.tasks.binary_classification import BINARY_CLASSIFICATION
from pipelines.tasks.task import TaskDefinition
from protocol.study.task import Task

#: Every task by the ``kind`` that stands in a study.
TASKS: Mapping[str, TaskDefinition] = {
    "binary_classification": BINARY_CLASSIFICATION,
}


def task_of(task: Task) -> TaskDefinition:
    """Returns the task that a study's section ``task`` names."""
    return TASKS[task.kind]
