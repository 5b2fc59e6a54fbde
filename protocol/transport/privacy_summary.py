"""A hospital's signed privacy summaries of a run: the promise before, the account after.

A summary is canonical JSON signed with the hospital's identity key. It holds
the privacy claim and the head of the hospital's ledger; no count of patients,
no metric. Where the hospital chooses so it names who approved the study there.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

from protocol.encoding import Json, canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey, verify

_DOMAIN = "summary"
#: What a field of words may say: nothing else can be shown in a report.
_WORDS: Mapping[str, frozenset[str]] = {
    "unit": frozenset({"patient", "record"}),
    "patient": frozenset({"stated number", "key", "stated row", "assumed row", "record"}),
    "sides": frozenset({"apart", "together"}),
    "mode": frozenset({"per_site", "distributed", "none"}),
    "noise": frozenset({"exact", "fixed test noise", "none"}),
}
#: Every other text: names, versions and digests, which begin with a letter or digit.
_TEXT = re.compile(r"([A-Za-z0-9][A-Za-z0-9 .,+_()-]{0,127})?")
#: So many people are named at most, with so many letters each; a day as people write it.
MAX_APPROVALS, _MAX_NAME = 10, 200
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: The one field that is left out where it is empty.
_APPROVALS = "approvals"
#: Least and most of every figure, but for the few that have a range of their own.
_MOST = 1e12
_SMALLEST = 1e-300
_RANGES: Mapping[str, tuple[float, float]] = {
    "delta": (_SMALLEST, 1.0),
    "sampling_rate": (_SMALLEST, 1.0),
    "noise_multiplier": (1e-6, 1e6),
    "evaluation_noise_multiplier": (1e-6, 1e6),
}


@dataclass(frozen=True, kw_only=True)
class NamedApproval:
    """A person who approved a study for a hospital, and the day (UTC): personal data of staff."""

    name: str
    on: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One hospital's signed summary of what its patients pay in one run.

    ``epsilon`` is what the fixed plan costs a training patient (PLD);
    ``evaluation_epsilon`` what the evaluation costs a test patient;
    ``epsilon_two_hospitals`` what a patient pays who is treated at the dearest
    other hospital too; ``epsilon_group_of_two`` and ``epsilon_group_of_three``
    what the presence of so many patients costs together.
    ``priced_steps`` and ``priced_evaluations`` count what was priced, spare attempts included, and
    ``sampling_rate`` is a patient's chance of each: of correlated noise both are of its cycles;
    ``patient`` says what a patient is here, and who says so; ``sides`` whether
    every patient is a training or a test patient for life ("apart"), or may have
    been both, so that all costs add up ("together"). ``budget_share`` is the part
    of the budget for life that the hospital's ledger has booked so far over all its
    runs, for the patients who have paid most, ``run_share`` what of it is this run's.
    ``fallback_epsilon`` what is left of the claim if more sites collude than
    the secure sum allows, where it rests on that. None where nothing is claimed.
    ``log_size`` and ``log_root`` are the newest head of the coordinator's log that
    the hospital holds; 0 and zeros before the first.
    ``engine`` names what computed the gradients, and the GPU where it was one; ``torch`` and
    ``opacus`` are the versions with which they were compared on drawn records when the hospital
    joined: how far they were, as a part of their norm, from one backward per record
    (``engine_distance``) and from Opacus' (``opacus_distance``). ``opacus_epsilon`` is what
    Opacus' accountant finds training to cost
    at most. Empty or None where nothing was compared.
    ``cohort`` names the frozen cohort that the run draws from: a number drawn at random when it
    was frozen, the same in every run that draws from it, which no record decides.
    ``approvals`` are the people who approved the study, where the hospital names them.
    """

    site: str
    run_id: str
    study_digest: str
    unit: str
    patient: str
    sides: str
    mode: str
    noise: str
    epsilon: float | None
    delta: float | None
    epsilon_two_hospitals: float | None
    epsilon_group_of_two: float | None
    epsilon_group_of_three: float | None
    evaluation_epsilon: float | None
    noise_multiplier: float | None
    evaluation_noise_multiplier: float | None
    sampling_rate: float
    steps: int
    priced_steps: int
    priced_evaluations: int
    clip: float | None
    budget_epsilon: float | None
    budget_share: float | None
    run_share: float | None
    ledger_head: str
    log_size: int
    log_root: str
    fallback_epsilon: float | None
    engine: str
    torch: str
    opacus: str
    engine_distance: float | None
    opacus_distance: float | None
    opacus_epsilon: float | None
    cohort: str = ""
    approvals: tuple[NamedApproval, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SignedSummary:
    """A summary's canonical bytes and the hospital's signature over them."""

    data: bytes
    signature: bytes


def write_summaries(summaries: Mapping[str, SignedSummary]) -> str:
    """Returns a run's signed summaries as one JSON text, by site; undone by ``read_summaries``."""
    written = {
        site: {"data": summary.data.decode(), "signature": summary.signature.hex()}
        for site, summary in summaries.items()
    }
    return canonical(written).decode()


def read_summaries(text: str) -> dict[str, SignedSummary]:
    """Returns the signed summaries held in a JSON text; their signatures are not checked yet.

    Raises:
        MessageRefused: the form is wrong.
    """
    value = parse_canonical(text.encode("utf-8", "surrogatepass"))
    if not isinstance(value, dict):
        raise MessageRefused("not a set of signed summaries")
    return {site: _read_signed_summary(summary) for site, summary in value.items()}


def own_statements(summaries: Mapping[str, SignedSummary], masked: Sequence[bytes]) -> bytes:
    """Returns what one hospital signed about its ledger; undone by ``read_own_statements``.

    Args:
        summaries: its signed summaries, by run.
        masked: its signed ``masked`` messages.
    """
    messages: list[Json] = [base64.b64encode(message).decode() for message in masked]
    written = parse_canonical(write_summaries(summaries).encode())
    return canonical({"summaries": written, "masked": messages})


def read_own_statements(document: bytes) -> tuple[tuple[SignedSummary, ...], tuple[bytes, ...]]:
    """Returns the signed summaries and ``masked`` messages; their signatures are not checked yet.

    Raises:
        MessageRefused: the form is wrong.
    """
    value = parse_canonical(document)
    if not isinstance(value, dict) or set(value) != {"summaries", "masked"}:
        raise MessageRefused("not what a hospital signed about its ledger")
    masked = value["masked"]
    if not isinstance(masked, list) or not all(isinstance(text, str) for text in masked):
        raise MessageRefused("signed messages are a list of base64 texts")
    try:
        messages = tuple(base64.b64decode(str(text), validate=True) for text in masked)
    except (binascii.Error, ValueError) as error:
        raise MessageRefused("a signed message is not base64") from error
    return tuple(read_summaries(canonical(value["summaries"]).decode()).values()), messages


def _read_signed_summary(summary: Json) -> SignedSummary:
    data, signature = (
        (summary.get("data"), summary.get("signature"))
        if isinstance(summary, dict)
        else (None, None)
    )
    if not isinstance(data, str) or not isinstance(signature, str):
        raise MessageRefused("not a signed summary")
    try:
        return SignedSummary(data=data.encode(), signature=bytes.fromhex(signature))
    except ValueError as error:
        raise MessageRefused("a signature is not hexadecimal") from error


def sign_summary(summary: Summary, key: SigningKey) -> SignedSummary:
    """Returns the summary, signed; the inverse of ``open_summary``."""
    written = asdict(summary)
    if not summary.approvals:
        del written[_APPROVALS]
    data = canonical(written)
    return SignedSummary(data=data, signature=key.sign(_DOMAIN, data))


def open_summary(signed: SignedSummary, public: bytes) -> Summary:
    """Returns the summary that a hospital signed.

    Raises:
        MessageRefused: the signature is not this hospital's, or the form is wrong.
    """
    verify(public, _DOMAIN, signed.data, signed.signature)
    return read_summary(signed.data)


def read_summary(data: bytes) -> Summary:
    """Returns the summary in its canonical bytes; whose they are is not checked.

    Guarantee: every word is a known one, every figure finite and in its range, every name of a
    person one that can be read.

    Raises:
        MessageRefused: the form is wrong, or a field says what no hospital can mean.
    """
    value = parse_canonical(data)
    known = {field.name: field.type for field in fields(Summary) if field.name != _APPROVALS}
    if not isinstance(value, dict) or set(value) - {_APPROVALS} != set(known):
        raise MessageRefused("a summary has other fields than expected")
    read: dict[str, Any] = {name: _typed(name, value[name], kind) for name, kind in known.items()}
    for name, figure in read.items():
        _require_possible(name, figure)
    named = _named(value[_APPROVALS]) if _APPROVALS in value else ()
    return Summary(**read, approvals=named)


def is_name(text: str) -> bool:
    """Whether a person can be named so: letters that can be read, and not too many.

    >>> is_name("Dr. Zoë Müller"), is_name(" "), is_name("x\u202ey")
    (True, False, False)
    """
    return 0 < len(text) <= _MAX_NAME and text.isprintable() and text == text.strip()


def _named(value: Json) -> tuple[NamedApproval, ...]:
    """Returns the people whom a hospital names; each once, one at least.

    Raises:
        MessageRefused: it is no list of names with days.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MAX_APPROVALS:
        raise MessageRefused(f"a summary names 1 to {MAX_APPROVALS} approvers, or leaves them out")
    found = tuple(_approval(one) for one in value)
    if len({one.name for one in found}) < len(found):
        raise MessageRefused("a summary names an approver twice")
    return found


def _approval(value: Json) -> NamedApproval:
    if isinstance(value, dict) and set(value) == {"name", "on"}:
        name, on = value["name"], value["on"]
        if isinstance(name, str) and is_name(name) and isinstance(on, str) and _is_day(on):
            return NamedApproval(name=name, on=on)
    raise MessageRefused("a summary's approver is a name and a day")


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _require_possible(name: str, value: Json) -> None:
    """Refuses what no hospital can mean: an unknown word, a figure out of its range.

    Raises:
        MessageRefused: names the field.
    """
    if isinstance(value, str):
        possible = value in _WORDS[name] if name in _WORDS else bool(_TEXT.fullmatch(value))
    elif isinstance(value, float):
        low, high = _RANGES.get(name, (0.0, _MOST))
        possible = low <= value <= high
    else:
        possible = not isinstance(value, int) or 0 <= value <= _MOST
    if not possible:
        raise MessageRefused(f"a summary's {name} is none that a hospital can sign")


def _typed(name: str, value: Json, kind: object) -> Json:
    """Returns a field's value; canonical JSON writes 2.0 as 2."""
    if kind is float or (kind == float | None and value is not None):
        if type(value) is int or type(value) is float:
            return float(value)
    elif value is None if kind == float | None else type(value) is kind:
        return value
    raise MessageRefused(f"a summary's {name} has another type")
