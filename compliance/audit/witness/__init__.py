"""A witness outside the consortium: cosigns heads of logs that its people trust it to watch.

It holds two keys of its own and the newest head of each log, and answers one request of
C2SP tlog-witness v1.0.0, ``add-checkpoint``. It takes part in nothing else, so whoever
runs it need trust neither the coordinator nor a hospital, and learns nothing but sizes
and roots.
"""

from compliance.audit.witness.folder import WitnessFolder, add_log, make_folder, open_folder
from compliance.audit.witness.http import serving, witness_app
from compliance.audit.witness.service import WitnessReply, WitnessService
from compliance.audit.witness.state import Contradiction, WitnessState

__all__ = [
    "Contradiction",
    "WitnessFolder",
    "WitnessReply",
    "WitnessService",
    "WitnessState",
    "add_log",
    "make_folder",
    "open_folder",
    "serving",
    "witness_app",
]
