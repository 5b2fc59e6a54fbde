"""Records of one run: what began, what it is made of, who joined, how it ended."""

from coordinator.rounds.run_records.manifest import SimulatedInputs, manifest_of, require_manifest
from coordinator.rounds.run_records.record import RunRecord, new_run_id
from coordinator.rounds.run_records.software import environment, platform_here, software

#: What services and simulations use.
__all__ = [
    "RunRecord",
    "SimulatedInputs",
    "environment",
    "manifest_of",
    "new_run_id",
    "platform_here",
    "require_manifest",
    "software",
]
