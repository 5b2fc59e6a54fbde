"""Parameters that a study starts from, learned from public data beforehand.

They lie in a safetensors file beside the study, which names it by its digest. The bytes are no
part of the study: they are attached when a study is read from a file, or from a hospital's kept
studies, and travel with it inside one institution, never between two.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, StringConstraints

from protocol.encoding import digest
from protocol.errors import MessageRefused, StudyRefused
from protocol.study.frozen_model import FrozenModel
from protocol.vectors.tensors import decode_tensors

Tensors = Mapping[str, NDArray[np.float32]]


class Pretrained(FrozenModel):
    """A file of pretrained parameters, by the network's own names.

    ``source`` says, for the hospitals' officers, where they were published and on whose data they
    were learned: nothing that is claimed here covers those patients.
    """

    file: Annotated[str, StringConstraints(pattern=r"^[\w][\w.\-]{0,99}\.safetensors$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        max_length=300
    )
    _tensors: Tensors | None = PrivateAttr(default=None)

    @property
    def tensors(self) -> Tensors:
        """The parameters by name.

        Raises:
            StudyRefused: the file was not read with the study.
        """
        if self._tensors is None:
            raise StudyRefused(
                f"task.pretrained: {self.file} is not at hand: read the study from its file, with "
                "that one beside it"
            )
        return self._tensors

    def attach(self, data: bytes) -> None:
        """Takes the file's bytes.

        Raises:
            StudyRefused: they are not those that the study names, or no float32 safetensors.
        """
        found = digest(data)
        if found != self.sha256:
            raise StudyRefused(
                f"task.pretrained: {self.file} is not the file that the study names: its sha256 "
                f"begins {found[:12]}, expected {self.sha256[:12]}"
            )
        try:
            self._tensors = decode_tensors(data)
        except MessageRefused as error:
            raise StudyRefused(f"task.pretrained: {self.file}: {error}") from error

    def attach_from(self, other: "Pretrained | None") -> None:
        """Takes what another record of the same file holds."""
        if other is not None and other.sha256 == self.sha256:
            self._tensors = other._tensors
