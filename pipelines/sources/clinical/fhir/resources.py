"""The elements of FHIR R4 resources that a study can ask for.

Whatever has another form than FHIR's is taken as absent, so no resource makes reading fail.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.sources.clinical.dates import When, read_when
from pipelines.sources.clinical.fhir.ndjson import Resource


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """A type of resources that are events.

    Attributes:
        name: of the type.
        codes: the elements that hold its codes.
        dates: the elements that hold its time, the first that is there counts.
        status: the element that holds its status, and the values by which it counts.
    """

    name: str
    codes: tuple[str, ...]
    dates: tuple[str, ...]
    status: str
    counts: frozenset[str]


#: The types by the word under which a study asks for their events.
RESOURCE_TYPES: Mapping[str, ResourceType] = {
    "visit": ResourceType(
        name="Encounter",
        codes=("class", "type"),
        dates=("period",),
        status="status",
        counts=frozenset({"arrived", "triaged", "in-progress", "onleave", "finished"}),
    ),
    "condition": ResourceType(
        name="Condition",
        codes=("code",),
        dates=("onsetDateTime", "onsetPeriod", "recordedDate"),
        status="verificationStatus",
        counts=frozenset({"", "confirmed"}),
    ),
    "drug": ResourceType(
        name="MedicationRequest",
        codes=("medicationCodeableConcept",),
        dates=("authoredOn",),
        status="status",
        counts=frozenset({"active", "on-hold", "stopped", "completed"}),
    ),
    "procedure": ResourceType(
        name="Procedure",
        codes=("code",),
        dates=("performedDateTime", "performedPeriod"),
        status="status",
        counts=frozenset({"in-progress", "completed"}),
    ),
    "observation": ResourceType(
        name="Observation",
        codes=("code",),
        dates=("effectiveDateTime", "effectivePeriod", "effectiveInstant"),
        status="status",
        counts=frozenset({"final", "amended", "corrected"}),
    ),
    "imaging": ResourceType(
        name="ImagingStudy",
        codes=("modality",),
        dates=("started",),
        status="status",
        counts=frozenset({"available"}),
    ),
}


def type_of(what: str) -> ResourceType:
    """Returns the type of what a study asks for; OMOP's measurements are Observations too."""
    return RESOURCE_TYPES["observation" if what == "measurement" else what]


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    """Yields the objects in an element, which may be one or a list."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield each


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def codes_in(element: object) -> Iterator[tuple[str, str]]:
    """Yields system and code of every Coding in a Coding, a CodeableConcept or a list of them.

    >>> list(codes_in({"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}))
    [('http://loinc.org', '8480-6')]
    """
    for concept in _objects(element):
        for coding in _objects(concept.get("coding", concept)):
            if coding.get("code"):
                yield _text(coding.get("system")), _text(coding["code"])


def counts(resource: Resource, kind: ResourceType) -> bool:
    """Whether a resource's status lets it count."""
    status = resource.get(kind.status)
    words = {code for _, code in codes_in(status)} if isinstance(status, dict) else {_text(status)}
    return bool((words or {""}) & kind.counts) and resource.get("doNotPerform") is not True


def when(
    resource: Resource, kind: ResourceType, zone: ZoneInfo | None, *, at_end: bool
) -> When | None:
    """Returns the time of a resource; None where it tells none.

    Args:
        resource: of this type.
        kind: its type.
        zone: of the hospital's clock, see ``read_when``.
        at_end: whether a period's end counts, and not its start.
    """
    for element in kind.dates:
        value = resource.get(element)
        if isinstance(value, dict):
            value = value.get("end" if at_end else "start")
        if isinstance(value, str):
            found = read_when(value, zone)
            if found is not None:
                return found
    return None


def observed(resource: Resource) -> Iterator[Resource]:
    """Yields a resource and its components: each has a code and a value of its own."""
    yield resource
    yield from (dict(each) for each in _objects(resource.get("component")))


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number and its unit: UCUM's code, or as it is written; empty where none is told."""

    number: float
    unit: str


def quantity(resource: Resource) -> Quantity | None:
    """Returns the number that a resource or a component has as its value."""
    found = resource.get("valueQuantity")
    if isinstance(found, dict):
        number = found.get("value")
        unit = _text(found.get("code")) or _text(found.get("unit"))
    else:
        number, unit = resource.get("valueInteger"), ""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    try:
        found_number = float(number)
    except OverflowError:  # a whole number of more digits than any measurement's
        return None
    return Quantity(number=found_number, unit=unit) if math.isfinite(found_number) else None


def answers(resource: Resource) -> frozenset[str]:
    """Returns the coded answers of a resource or a component, as a study writes codes."""
    truth = resource.get("valueBoolean")
    if isinstance(truth, bool):
        return frozenset({"true" if truth else "false"})
    return frozenset(f"{s}|{code}" for s, code in codes_in(resource.get("valueCodeableConcept")))


def patient_of(resource: Resource) -> str:
    """Returns the id of the Patient that a resource is about; empty where it names none.

    A reference is relative (``Patient/7``), absolute (``https://fhir.example/Patient/7``), of a
    version (``Patient/7/_history/2``), or a ``urn:uuid:``, which is the Patient's id.

    >>> patient_of({"subject": {"reference": "https://fhir.example/r4/Patient/7/_history/2"}})
    '7'
    >>> patient_of({"subject": {"reference": "Group/7"}}), patient_of({"subject": None})
    ('', '')
    """
    element = next(_objects(resource.get("subject") or resource.get("patient")), {})
    reference = _text(element.get("reference"))
    if reference.startswith("urn:uuid:"):
        return reference.removeprefix("urn:uuid:")
    parts = reference.split("/_history/")[0].split("/")
    return parts[-1] if len(parts) > 1 and parts[-2] == "Patient" else ""


def study_of(resource: Resource) -> tuple[str, str]:
    """Returns an ImagingStudy's UID, or its id where it tells none, and its accession number."""
    accession = next(
        (
            _text(each.get("value"))
            for each in _objects(resource.get("identifier"))
            if "ACSN" in {code for _, code in codes_in(each.get("type"))}
        ),
        "",
    )
    return identifier_of(resource, "urn:dicom:uid") or _text(resource.get("id")), accession


def identifier_of(resource: Resource, system: str) -> str:
    """Returns a resource's identifier of a system; empty where it has none."""
    for each in _objects(resource.get("identifier")):
        if each.get("system") == system and each.get("use") != "old":
            return _text(each.get("value"))
    return ""
