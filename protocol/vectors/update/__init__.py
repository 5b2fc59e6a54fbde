"""An update on its way through the secure sum: which of its numbers travel, and how."""

from protocol.vectors.update.coordinates import chosen_coordinates
from protocol.vectors.update.vector import Scalar, UpdateVector

__all__ = ["Scalar", "UpdateVector", "chosen_coordinates"]
