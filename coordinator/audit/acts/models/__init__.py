"""Acts about models: events of versions, and encrypted models, are what people's acts asked for."""

from coordinator.audit.acts.models.events import check_models
from coordinator.audit.acts.models.weights import check_weights

#: What the checks of acts, and of a folder, use.
__all__ = ["check_models", "check_weights"]
