"""Every network that a study may name, by the record of its settings.

The records are in ``protocol.study.task.networks``.
"""

from collections.abc import Mapping

from pipelines.networks.architecture import Architecture
from pipelines.networks.classifiers import CLASSIFIERS
from pipelines.networks.segmenters import SEGMENTERS
from protocol.study.task.networks.network import NetworkSettings

ARCHITECTURES: Mapping[type[NetworkSettings], Architecture] = {**CLASSIFIERS, **SEGMENTERS}
