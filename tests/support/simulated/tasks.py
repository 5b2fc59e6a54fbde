"""The definition of every kind of task, as small studies would have it."""

from collections.abc import Mapping

from pipelines.tasks.binary_classification import binary_classification
from pipelines.tasks.multiclass_classification import multiclass_classification
from pipelines.tasks.regression import regression
from pipelines.tasks.task import TaskDefinition
from protocol.study.cohort import NumberLabel

#: Classes of the multi-class definition.
CLASSES = 3
#: The label of the regression.
NUMBER = NumberLabel(column="y", range=(20, 120), centre=70, scale=20)
BINARY_CLASSIFICATION = binary_classification(None)
DEFINITIONS: Mapping[str, TaskDefinition] = {
    "binary_classification": BINARY_CLASSIFICATION,
    "multiclass_classification": multiclass_classification(CLASSES),
    "regression": regression(NUMBER),
}
