"""The section that says on which terms the trained model is released."""

from pydantic import Field

from protocol.study.frozen_model import FrozenModel

#: Letters that a signed statement can repeat: printable ASCII, no quotation of its own.
_WORDS = r"^[ -~]+$"


class ReleaseTerms(FrozenModel):
    """The terms of a study's model: hospitals approve them with the study.

    Attributes:
        licence: an SPDX identifier such as ``CC-BY-NC-4.0``, or the name of an agreement.
        permitted_use: what the model may be used for, in a sentence.
    """

    licence: str = Field(min_length=1, max_length=100, pattern=_WORDS)
    permitted_use: str = Field(min_length=1, max_length=500, pattern=_WORDS)
