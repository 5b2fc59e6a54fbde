"""What a hospital signs about its part in a run: the promise before, the account after.

A summary is canonical JSON signed with the hospital's identity key. It holds
the privacy claim and the head of the hospital's ledger; no count of patients,
no metric.
"""

from dataclasses import asdict, dataclass, fields

from protocol.encoding import canonical, parse_canonical
from protocol.errors import MessageRefused
from protocol.identity import SigningKey, verify

_DOMAIN = "summary"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One hospital's signed word on what its patients pay in one run.

    ``epsilon`` is what the fixed plan costs a training patient (PLD);
    ``evaluation_epsilon`` what the evaluation costs a test patient;
    ``enforced_epsilon`` what the hospital's life-long filter has booked so
    far, over all its runs, in the dearer of its two partitions. None where
    nothing is claimed.
    """

    site: str
    run_id: str
    study_digest: str
    unit: str
    mode: str
    noise: str
    epsilon: float | None
    delta: float | None
    epsilon_two_hospitals: float | None
    evaluation_epsilon: float | None
    noise_multiplier: float | None
    evaluation_noise_multiplier: float | None
    sampling_rate: float
    steps: int
    clip: float | None
    budget_epsilon: float | None
    enforced_epsilon: float | None
    ledger_head: str


@dataclass(frozen=True, kw_only=True)
class SignedSummary:
    """A summary's canonical bytes and the hospital's signature over them."""

    data: bytes
    signature: bytes


def sign_summary(summary: Summary, key: SigningKey) -> SignedSummary:
    """Returns the summary, signed; the inverse of ``open_summary``."""
    data = canonical(asdict(summary))
    return SignedSummary(data=data, signature=key.sign(_DOMAIN, data))


def open_summary(signed: SignedSummary, public: bytes) -> Summary:
    """Returns the summary that a hospital signed.

    Raises:
        MessageRefused: the signature is not this hospital's, or the form is wrong.
    """
    verify(public, _DOMAIN, signed.data, signed.signature)
    value = parse_canonical(signed.data)
    names = {field.name for field in fields(Summary)}
    if not isinstance(value, dict) or set(value) != names:
        raise MessageRefused("a summary has other fields than expected")
    return Summary(**value)
