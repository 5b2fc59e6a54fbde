"""FHIR Consent as statements of patients: to which purpose it was given or refused, and until when.

Rules:

1. Only an active Consent gives anything; a rejected one is a refusal. A draft, a proposal, one that
   has ended and one entered in error say nothing.
2. What is permitted only for some data, people or actions is not taken for a consent: nobody here
   can hold a study to those bounds. A refusal with such bounds is one.
3. Exceptions count for what they name. Where everything is refused but some purposes, all others
   are refused.
4. Of the exceptions of an exception the refusals alone count, at whatever depth they stand.

Source: HL7 FHIR R4 (4.0.1), https://hl7.org/fhir/R4/consent.html.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

from pipelines.sources.clinical.dates import read_when
from pipelines.sources.clinical.fhir.ndjson import Resource, ResourceFolder
from pipelines.sources.clinical.fhir.resources import codes_in, identifier_of, patient_of
from pipelines.sources.clinical.tally import Reason, Tally

#: The purpose that stands for every purpose; of a Consent that names none.
EVERY_PURPOSE = "all"
#: The elements of a provision that bound what it permits.
_BOUNDS = ("actor", "action", "class", "data", "dataPeriod", "securityLabel")
#: The base of a Consent by its policyRule, where no provision says it.
_RULES = {"OPTIN": "permit", "OPTINR": "", "OPTOUT": "deny", "OPTOUTE": "deny"}


class PatientConsent(NamedTuple):
    """A patient's statement about a purpose: given or refused, until a day, that day included.

    ``but`` are the purposes that a refusal leaves out.
    """

    key: str
    purpose: str
    given: bool
    until: date | None
    but: tuple[str, ...] = ()


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
        for _, patient in folder.resources("Patient"):
            keys[str(patient.get("id"))] = identifier_of(patient, identifier)
    for _, resource in folder.resources("Consent"):
        own = patient_of(resource)
        key = own if identifier is None else keys.get(own, "")
        if not key:
            tally.leave_out(_OF_NOBODY)
            continue
        words = purposes or {}
        for said in _statements(resource, tally, today):
            if said.purpose != EVERY_PURPOSE and said.purpose not in words:
                tally.leave_out(_WITHOUT_WORDS)
            but = tuple(words.get(purpose, purpose) for purpose in said.but)
            yield said._replace(key=key, purpose=words.get(said.purpose, said.purpose), but=but)


def _statements(resource: Resource, tally: Tally, today: date) -> Iterator[PatientConsent]:
    """Yields what a resource states, of a patient who is yet to be named."""
    status = resource.get("status")
    root = _object(resource.get("provision"))
    if status == "rejected":
        yield from (PatientConsent("", purpose, False, None) for purpose in _purposes(root))
        return
    if status != "active":
        tally.leave_out(_NOT_ACTIVE)
        return
    rules = [_RULES.get(code, "") for _, code in codes_in(resource.get("policyRule"))]
    kind = root.get("type") or next(iter(rules), "")
    inner = [_object(each) for each in _list(root.get("provision"))]
    exceptions = [each for each in inner if each.get("type") in ("permit", "deny")]
    of_each = [
        list(_of_provision(each, str(each["type"]), tally, today, within=root))
        for each in exceptions
    ]
    if kind == "permit":
        yield from _of_provision(root, "permit", tally, today)
    elif kind == "deny":
        but = tuple(
            said.purpose
            for found in of_each
            for said in found
            if said.given and (said.until is None or today <= said.until)
        )
        if EVERY_PURPOSE not in but:
            refused = _of_provision(root, "deny", tally, today)
            yield from (said._replace(but=but) for said in refused)
    else:
        tally.leave_out(_NO_TYPE)
        return
    for each, found in zip(exceptions, of_each, strict=True):
        yield from found
        yield from _refused_within(each, tally, today)


def _refused_within(provision: Resource, tally: Tally, today: date) -> Iterator[PatientConsent]:
    """Yields the refusals among a provision's own exceptions, and among theirs."""
    for each in map(_object, _list(provision.get("provision"))):
        if each.get("type") == "deny":
            yield from _of_provision(each, "deny", tally, today, within=provision)
        yield from _refused_within(each, tally, today)


def _of_provision(
    provision: Resource, kind: str, tally: Tally, today: date, *, within: Resource | None = None
) -> Iterator[PatientConsent]:
    if kind == "permit" and any(provision.get(bound) for bound in _BOUNDS):
        tally.leave_out(_BOUNDED)
        return
    begins, ends = zip(_period(provision), _period(within or {}), strict=True)
    if any(day is not None and day > today for day in begins):
        tally.leave_out(_LATER)
        return
    until = min((day for day in ends if day is not None), default=None)
    given = kind == "permit"
    yield from (PatientConsent("", purpose, given, until) for purpose in _purposes(provision))


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
_WITHOUT_WORDS = Reason(
    what="statements in Consent resources are about a purpose that patients.purposes of the site "
    "file has no words for",
    remedy="name its code there, with words of a study's purpose; until then neither a consent "
    "nor a refusal of it counts",
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
