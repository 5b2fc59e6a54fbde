"""Networks that are made of several, one for each kind of input of a record."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

from protocol.study.task.networks.choice import TargetChoice, records_in
from protocol.study.task.networks.classifiers import FullyConnectedNet, ImageClassifiers
from protocol.study.task.networks.network import NetworkSettings

_IMAGE = TargetChoice(records_in(ImageClassifiers), "{_target_: DenseNet121}")
_TABLE = TargetChoice((FullyConnectedNet,), "{_target_: FullyConnectedNet, hidden_channels: [8]}")


class LateFusion(NetworkSettings):
    """The sum of what a network makes of the image and another of the columns beside it.

    Both give as many numbers as the task asks for, and are trained together. Their layers are
    called ``image.`` and ``table.``, followed by the network's own name for each.

    Source: Huang et al. 2020 (10.1038/s41746-020-00341-z), "Fusion of medical imaging and
    electronic health records using deep learning", late fusion.
    """

    cohort: ClassVar[str] = "images with columns"

    target: Literal["LateFusion"] = Field("LateFusion", alias="_target_")
    image: Annotated[
        Annotated[ImageClassifiers, Discriminator(_IMAGE.record_of)],
        BeforeValidator(_IMAGE.known_or_refused),
    ]
    table: Annotated[FullyConnectedNet, BeforeValidator(_TABLE.known_or_refused)]

    @property
    def parts(self) -> tuple[NetworkSettings, ...]:
        """The image's network, then the table's."""
        return (self.image, self.table)

    @property
    def targets(self) -> tuple[str, ...]:
        """Its own name, then those of the two."""
        return (self.target, self.image.target, self.table.target)


#: Every network here, tagged by the name of its record.
Fusions: TypeAlias = Annotated[LateFusion, Tag("LateFusion")]
