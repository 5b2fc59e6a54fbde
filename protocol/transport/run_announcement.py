"""The coordinator's announcements of a run and its end, and a hospital's message when it joins.

The notice names the study and the roster by digest only: the hospital runs the
copy of the study that its own officers approved, and the roster it trusts. Its
own digest is the challenge that evidence about the members' machines answers.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol.codec import (
    Digest,
    base64_bytes,
    from_json,
    hex_bytes,
    integer,
    list_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused
from protocol.identity.machine_evidence import MachineEvidence
from protocol.identity.roster import SigningKey, verify
from protocol.transport.privacy_summary import SignedSummary

_NOTICE, _END = "run-notice", "run-end"
_MAX_BYTES = 4096
_MAX_SUMMARY = 1 << 14
_RUN = text(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
#: What a figure is counted in, and the largest one.
MILLIONTHS = 10**6
_FIGURE = integer(-(10**15), 10**15)
_MAX_FIGURES = 16


@dataclass(frozen=True, kw_only=True)
class RunAnnouncement:
    """A run of a study that its hospitals may join."""

    run_id: Annotated[str, _RUN]
    study: Digest
    roster: Digest

    def __post_init__(self) -> None:
        require_forms(self)

    @property
    def digest(self) -> str:
        """The SHA-256 of the notice's canonical bytes: the same for every member of the run."""
        return digest(canonical(to_json(self)))


@dataclass(frozen=True, kw_only=True)
class ReleasedFigure:
    """A released figure and its 95 % interval, in millionths; all None where it is withheld.

    ``name`` is its key, such as ``auroc``; ``note`` says why it is withheld.
    """

    name: Annotated[str, text(r"[a-z][a-z0-9_]{0,39}")]
    value: Annotated[int | None, optional(_FIGURE)]
    low: Annotated[int | None, optional(_FIGURE)]
    high: Annotated[int | None, optional(_FIGURE)]
    note: Annotated[str, text(r"[ -~]{0,200}")] = ""

    def to_interval(self) -> dict[str, Any]:
        """Returns value, low, high and note, with plain numbers."""
        counted = {name: getattr(self, name) for name in ("value", "low", "high")}
        read = {name: None if n is None else n / MILLIONTHS for name, n in counted.items()}
        return {**read, "note": self.note}


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run: the digest of the final model, and the released figures of all sites.

    Figures come as the log keeps them, by name: the headline need not be the first.
    """

    model: Digest
    figures: Annotated[tuple[ReleasedFigure, ...], list_of(nested(ReleasedFigure), _MAX_FIGURES)]


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """The coordinator's statement that a run has ended for good: hospitals may settle it.

    ``result`` is None where it did not reach its end.
    """

    run_id: Annotated[str, _RUN]
    result: Annotated[RunResult | None, optional(nested(RunResult))] = None

    def __post_init__(self) -> None:
        require_forms(self)


def sign_announcement(notice: RunAnnouncement, key: SigningKey) -> bytes:
    """Returns the signed notice; undone by ``open_announcement``."""
    return _sign(_NOTICE, notice, key)


def open_announcement(wire: bytes, public: bytes) -> RunAnnouncement:
    """Returns the notice that the coordinator signed.

    Raises:
        MessageRefused: the signature is not the coordinator's, or the form is wrong.
    """
    return from_json(RunAnnouncement, parse_canonical(_open(_NOTICE, wire, public)))


def sign_end(run_id: str, key: SigningKey, result: RunResult | None = None) -> bytes:
    """Returns the signed statement that a run has ended; undone by ``open_end``."""
    return _sign(_END, RunEnd(run_id=run_id, result=result), key)


def open_end(wire: bytes, run_id: str, public: bytes) -> RunEnd:
    """Returns the coordinator's statement that this run has ended.

    Raises:
        MessageRefused: the signature is not the coordinator's, it is about
            another run, or the form is wrong.
    """
    end = from_json(RunEnd, parse_canonical(_open(_END, wire, public)))
    if end.run_id != run_id:
        raise MessageRefused("the coordinator says that another run has ended")
    return end


def _sign(domain: str, record: RunAnnouncement | RunEnd, key: SigningKey) -> bytes:
    data = canonical(to_json(record))
    return key.sign(domain, data) + data


def _open(domain: str, wire: bytes, public: bytes) -> bytes:
    if not 64 < len(wire) <= _MAX_BYTES:
        raise MessageRefused(f"not a {domain} of the coordinator")
    verify(public, domain, wire[64:], wire[:64])
    return wire[64:]


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A hospital's answer when it joins: its signed summary, and the first model it built.

    ``model`` is the digest of the parameters that the study's seed gives there;
    ``evidence`` is about the hospital's machine, where that has a TEE.
    """

    summary: Annotated[bytes, base64_bytes(_MAX_SUMMARY)]
    signature: Annotated[bytes, hex_bytes(64)]
    model: Digest
    evidence: Annotated[MachineEvidence | None, optional(nested(MachineEvidence))] = None

    @property
    def signed_summary(self) -> SignedSummary:
        """The signed summary."""
        return SignedSummary(data=self.summary, signature=self.signature)

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that travel; the inverse is ``parse_joined``."""
        return canonical(to_json(self))


def parse_joined(data: bytes) -> Joined:
    """Returns what a hospital said.

    Raises:
        MessageRefused: the form is wrong.
    """
    return from_json(Joined, parse_canonical(data))
