"""The tasks that a study may name."""

from pipelines.tasks.binary_classification import binary_classification
from pipelines.tasks.multiclass_classification import multiclass_classification
from pipelines.tasks.multilabel_classification import multilabel_classification
from pipelines.tasks.recipe_loss import with_loss
from pipelines.tasks.regression import regression
from pipelines.tasks.segmentation import segmentation
from pipelines.tasks.survival import survival
from pipelines.tasks.task import TaskDefinition
from protocol.study.cohort.cohort import Cohort, ImageCohort
from protocol.study.cohort.labels import NumberLabel
from protocol.study.task.recipes import RecipeLoss
from protocol.study.task.task import (
    BinaryClassification,
    MulticlassClassification,
    MultilabelClassification,
    Regression,
    Segmentation,
    Survival,
    Task,
)


def task_of(task: Task, cohort: Cohort) -> TaskDefinition:
    """Returns the definition of the task that a study names, for its cohort's label.

    Raises:
        ValueError: the label is another task's; a ``Study`` never holds such a pair.
        StudyRefused, PolicyRefused: it names a recipe's loss, which is not to be had.
    """
    built_in = _built_in(task, cohort)
    return with_loss(built_in, task.loss) if isinstance(task.loss, RecipeLoss) else built_in


def _built_in(task: Task, cohort: Cohort) -> TaskDefinition:
    label = cohort.label
    if isinstance(task, BinaryClassification):
        return binary_classification(task.prevalence, task.threshold)
    if isinstance(task, MulticlassClassification):
        return multiclass_classification(label.num_classes, confidence=task.confidence)
    if isinstance(task, MultilabelClassification):
        return multilabel_classification(label.num_classes)
    if isinstance(task, Survival):
        return survival(task)
    if isinstance(task, Segmentation) and isinstance(cohort, ImageCohort):
        return segmentation(label.num_classes, cohort.image.shape, distances=task.distances)
    if isinstance(task, Regression) and isinstance(label, NumberLabel):
        return regression(label)
    raise ValueError(f"task {task.kind} does not go with this cohort and its label")
