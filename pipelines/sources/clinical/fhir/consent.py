"""FHIR Consent as statements of patients: to which purpose it was given or refused, and until when.

Rules:

1. Only an active Consent gives anything; a rejected one is a refusal. A draft, a proposal, one that
   has ended and one entered in error say nothing.
2. What is permitted only for some data, people or actions is not taken for a consent: nobody here
   can hold a study to those bounds. A refusal with such bounds is one.
3. Exceptions count for what they name. Where everything is refused but what an exception permits,
   that alone is a statement: whoever has given none has not consented.

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/consent.html.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

from pipelines.sources.clinical.dates import read_when
from pipelines.sources.clinical.fhir.ndjson import Resource, ResourceFolder
from pipelines.sources.clinical.fhir.resources import codes_in, identifier_of, patient_of
from pipelines.sources.clinical.tally import Reason, Tally

#: The purpose of a Consent that names none.
EVERY_PURPOSE = "all"
#: The elements of a provision that bound what it permits.
_BOUNDS = ("actor", "action", "class", "data", "dataPeriod", "securityLabel")
#: The base of a Consent by its policyRule, where no provision says it.
_RULES = {"OPTIN": "permit", "OPTINR": "", "OPTOUT": "deny", "OPTOUTE": "deny"}


class PatientConsent(NamedTuple):
    """A patient's statement about a purpose: given or refused, until a day, that day included."""

    key: str
    purpose: str
    given: bool
    until: date | None


def consents_in(
    folder: ResourceFolder,
    tally: Tally,
    *,
    today: date,
    identifier: str | None = None,
    purposes: Mapping[str, str] | None = None,
) -> Iterator[PatientConsent]:
    """Yields the statements of all Consent resources in a folder.

    Args:
        folder: the resources.
        tally: counts what says nothing, and why.
        today: what begins later does not count yet.
        identifier: the system of the identifier that is the patient's key; None where the
            Patient's id is.
        purposes: by a code of a purpose (``SYSTEM|CODE``) the words for it; a code that is not
            there is its own word.

    Raises:
        CohortRefused: a file cannot be read.
    """
    keys: dict[str, str] = {}
    if identifier is not None:
        for patient in folder.resources("Patient"):
            keys[str(patient.get("id"))] = identifier_of(patient, identifier)
    for resource in folder.resources("Consent"):
        own = patient_of(resource)
        key = own if identifier is None else keys.get(own, "")
        if not key:
            tally.leave_out(_OF_NOBODY)
            continue
        found = list(_statements(resource, tally, today))
        for purpose, given, until in found:
            yield PatientConsent(key, (purposes or {}).get(purpose, purpose), given, until)


Statement = tuple[str, bool, date | None]


def _statements(resource: Resource, tally: Tally, today: date) -> Iterator[Statement]:
    status = resource.get("status")
    root = _object(resource.get("provision"))
    if status == "rejected":
        yield from ((purpose, False, None) for purpose in _purposes(root))
        return
    if status != "active":
        tally.leave_out(_NOT_ACTIVE)
        return
    rules = [_RULES.get(code, "") for _, code in codes_in(resource.get("policyRule"))]
    kind = root.get("type") or next(iter(rules), "")
    inner = [_object(each) for each in _list(root.get("provision"))]
    exceptions = [each for each in inner if each.get("type") in ("permit", "deny")]
    if kind == "permit":
        yield from _of_provision(root, "permit", tally, today)
    elif kind == "deny" and not any(each.get("type") == "permit" for each in exceptions):
        yield from _of_provision(root, "deny", tally, today)
    elif kind != "deny":
        tally.leave_out(_NO_TYPE)
        return
    for each in exceptions:
        yield from _of_provision(each, str(each["type"]), tally, today, within=root)


def _of_provision(
    provision: Resource, kind: str, tally: Tally, today: date, *, within: Resource | None = None
) -> Iterator[Statement]:
    if kind == "permit" and any(provision.get(bound) for bound in _BOUNDS):
        tally.leave_out(_BOUNDED)
        return
    begins, ends = zip(_period(provision), _period(within or {}), strict=True)
    if any(day is not None and day > today for day in begins):
        tally.leave_out(_LATER)
        return
    until = min((day for day in ends if day is not None), default=None)
    yield from ((purpose, kind == "permit", until) for purpose in _purposes(provision))


def _purposes(provision: Resource) -> list[str]:
    """Returns the codes of a provision's purposes and of what it is about, or every purpose."""
    found = [*codes_in(provision.get("purpose")), *codes_in(provision.get("code"))]
    return [f"{system}|{code}" for system, code in found] or [EVERY_PURPOSE]


def _period(provision: Resource) -> tuple[date | None, date | None]:
    period = _object(provision.get("period"))
    days = [read_when(text) if isinstance(text := period.get(end), str) else None
            for end in ("start", "end")]  # fmt: skip
    begin, end = days
    return (
        None if begin is None else date.fromordinal(begin.first),
        None if end is None else date.fromordinal(end.last),
    )


def _object(value: object) -> Resource:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


_OF_NOBODY = Reason(
    what="Consent resources name no patient of the source",
    remedy="export the Patient resources with them; they say nothing until then",
)
_NOT_ACTIVE = Reason(
    what="Consent resources are not active", remedy="nothing is wrong with a draft or an old one"
)
_NO_TYPE = Reason(
    what="Consent resources neither permit nor deny",
    remedy="fill provision.type; they say nothing until then",
)
_BOUNDED = Reason(
    what="provisions permit only some data, people or actions",
    remedy="they are no consent here: ask the patients, or write the statements in a file",
)
_LATER = Reason(what="provisions begin later", remedy="they count from that day on")
