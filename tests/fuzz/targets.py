"""Every decoder of outside bytes, by name."""

from collections.abc import Mapping

from tests.fuzz.attestation import ATTESTATION_TARGETS
from tests.fuzz.documents import DOCUMENT_TARGETS
from tests.fuzz.engine import Target
from tests.fuzz.hospital import HOSPITAL_TARGETS
from tests.fuzz.joining import JOINING_TARGETS
from tests.fuzz.messages import MESSAGE_TARGETS
from tests.fuzz.wire import WIRE_TARGETS

TARGETS: tuple[Target, ...] = (
    *MESSAGE_TARGETS,
    *DOCUMENT_TARGETS,
    *HOSPITAL_TARGETS,
    *JOINING_TARGETS,
    *WIRE_TARGETS,
    *ATTESTATION_TARGETS,
)
BY_NAME: Mapping[str, Target] = {target.name: target for target in TARGETS}
