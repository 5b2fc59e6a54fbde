"""The definition of every kind of task, as small studies would have it."""

from collections.abc import Mapping

from pipelines.tasks.binary_classification import binary_classification
from pipelines.tasks.multiclass_classification import multiclass_classification
from pipelines.tasks.multilabel_classification import multilabel_classification
from pipelines.tasks.regression import regression
from pipelines.tasks.segmentation import segmentation
from pipelines.tasks.survival import survival
from pipelines.tasks.task import TaskDefinition
from protocol.study.cohort.labels import NumberLabel
from protocol.study.task.networks.classifiers import FullyConnectedNet
from protocol.study.task.task import Survival

#: Classes of the multi-class definition.
CLASSES = 3
#: The sides of the segmentation's images.
MASK = (4, 5)
#: The label of the regression.
NUMBER = NumberLabel(column="y", range=(20, 120), centre=70, scale=20)
#: The section of a study about survival, in three intervals.
SURVIVAL = Survival(
    kind="survival",
    network=FullyConnectedNet(),
    times=(1.0, 2.0, 4.0),
    event_free=(0.9, 0.8, 0.6),
)
#: The same by the loss that couples patients.
COX = survival(SURVIVAL.model_copy(update={"loss": "cox"}))
BINARY_CLASSIFICATION = binary_classification(None)
#: Into how many groups each task counts patients by their label.
GROUPS: Mapping[str, int] = {
    "binary_classification": 2,
    "multiclass_classification": CLASSES,
    "multilabel_classification": CLASSES,
    "regression": 0,
    "segmentation": CLASSES,
    "survival": 4,
}
DEFINITIONS: Mapping[str, TaskDefinition] = {
    "binary_classification": BINARY_CLASSIFICATION,
    "multiclass_classification": multiclass_classification(CLASSES),
    "multilabel_classification": multilabel_classification(CLASSES),
    "regression": regression(NUMBER),
    "segmentation": segmentation(CLASSES, MASK),
    "survival": survival(SURVIVAL),
}
