"""Every decoder of outside bytes, by name."""

from collections.abc import Mapping

from tests.long.fuzz.engine import Target
from tests.long.fuzz.targets.attestation import ATTESTATION_TARGETS
from tests.long.fuzz.targets.documents import DOCUMENT_TARGETS
from tests.long.fuzz.targets.hospital import HOSPITAL_TARGETS
from tests.long.fuzz.targets.joining import JOINING_TARGETS
from tests.long.fuzz.targets.messages import MESSAGE_TARGETS
from tests.long.fuzz.targets.weights import WEIGHTS_TARGETS
from tests.long.fuzz.targets.wire import WIRE_TARGETS
from tests.long.fuzz.targets.witnesses import WITNESS_TARGETS

TARGETS: tuple[Target, ...] = (
    *MESSAGE_TARGETS,
    *DOCUMENT_TARGETS,
    *HOSPITAL_TARGETS,
    *JOINING_TARGETS,
    *WIRE_TARGETS,
    *ATTESTATION_TARGETS,
    *WITNESS_TARGETS,
    *WEIGHTS_TARGETS,
)
BY_NAME: Mapping[str, Target] = {target.name: target for target in TARGETS}
