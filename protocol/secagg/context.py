"""The context of one round: everything that coordinator and silos must agree on, as one digest.

Rules:

1. The digest salts every key of the round, is authenticated with every share
   and stands in every signed message. Who differs in a single field derives
   other masks, and the sum is noise.
2. The threshold t, the number n of sites and C colluders obey 2t > n + C and
   t - C >= 2, with n >= 3. Then at most one set of survivors can gather t
   signatures, and at least two honest updates hide each other.
3. The sum of what n sites contribute cannot wrap the ring (``ring_bounds``).
4. A repeated attempt has another number and so another context: one masked
   vector for each context.
5. Attempts of one ``draw`` mask the same noised vectors. A silo reveals them
   among one set of sites only, so that at most one sum of them is ever
   unmasked. Another draw is another, independently noised vector.
6. The coordinator opens a round with this context; a silo computes it again from its own copy of
   study and roster and from the model bytes it received, and refuses any other. Only which round,
   attempt and draw it is, and the log's head, come from the coordinator (``log_proof``).

Source: ``docs/protocol.md``, "Why the numbers hold"; Bonawitz et al. 2017 (CCS), section 6.2.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from protocol.codec import (
    MAX_SITES,
    SITE_NAME,
    Digest,
    from_json,
    integer,
    list_of,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import Json, digest_json
from protocol.study.rounds.round_vector import round_vector
from protocol.study.study import Study, SumOfSites
from protocol.vectors.ring_bounds import (
    RINGS,
    RingVector,
    fits,
    least_ring_bits,
    max_sum_of_counts,
    max_sum_of_updates,
    require_sum_of_counts,
    require_sum_of_updates,
)
from protocol.vectors.tensors import Tensors, model_digest

PROTOCOL = "sa1"
#: Suite 1: X25519, Ed25519, HKDF-SHA256, AES-256-CTR, AES-256-GCM.
SUITE = 1
#: What ``bound`` says when the vector holds counts, which are not shortened.
COUNTS = "counts"
#: The largest vector of a round: 10**8 parameters.
MAX_DIM = 10**8


@dataclass(frozen=True, kw_only=True)
class RoundContext:
    """One round of one run, as both institutions write it.

    ``bound`` is the L2 norm to which updates are shortened, or for each site how
    long a sum with shared noise can be (``noise_shares``), written as Python's
    shortest decimal (``"16.0"``), or ``"counts"``. Digests are 64 hexadecimal
    digits. ``round``, ``attempt`` and ``draw`` count from 0; attempts are numbered
    through a round, whatever their draw.

    Raises:
        ValueError: a rule above is broken.
    """

    proto: Annotated[str, text(PROTOCOL)] = PROTOCOL
    suite: Annotated[int, integer(SUITE, SUITE)] = SUITE
    study_digest: Digest
    run_id: Annotated[str, text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")]
    round_kind: Annotated[str, text("training|evaluation")]
    round: Annotated[int, integer(0, 2**31)]
    attempt: Annotated[int, integer(0, 2**31)]
    draw: Annotated[int, integer(0, 2**31)]
    log_size: Annotated[int, integer(0, 2**53 - 1)]
    log_root: Digest
    roster_digest: Digest
    participants: Annotated[tuple[str, ...], list_of(SITE_NAME, MAX_SITES)]
    threshold: Annotated[int, integer(2, MAX_SITES)]
    colluders: Annotated[int, integer(0, MAX_SITES)]
    model_hash: Digest
    layout_hash: Digest
    dim: Annotated[int, integer(1, MAX_DIM)]
    ring_bits: Annotated[int, integer(RINGS[0], RINGS[-1])]
    frac_bits: Annotated[int, integer(0, 60)]
    bound: Annotated[str, text(r"counts|[0-9.e+-]{1,32}")]
    weights_hash: Digest
    dp_event_hash: Digest

    def __post_init__(self) -> None:
        require_forms(self)
        self._check_threshold()
        if not fits(self.most, self.ring_bits):
            raise ValueError(
                f"{len(self.participants)} sites x bound {self.bound} x 2^{self.frac_bits} could "
                f"wrap {self.ring_bits} bits"
            )

    def _check_threshold(self) -> None:
        n, t, colluders = len(self.participants), self.threshold, self.colluders
        if n < 3 or list(self.participants) != sorted(set(self.participants)):
            raise ValueError("there are at least three participants, sorted, each named once")
        if t > n or not 2 * t > n + colluders or t - colluders < 2:
            raise ValueError(
                f"threshold {t} with {n} sites and {colluders} colluders: "
                "t <= n, 2t > n + C and t - C >= 2 must hold"
            )

    @property
    def most(self) -> int:
        """The largest magnitude that a coordinate of the sum can have."""
        sites = len(self.participants)
        if self.bound == COUNTS:
            return max_sum_of_counts(sites=sites)
        return max_sum_of_updates(sites=sites, bound=_real(self.bound), frac_bits=self.frac_bits)

    def require_sum(self, total: RingVector, sites: int) -> None:
        """Checks that a sum is one that this many honest sites can give.

        Raises:
            SumRefused: it is not.
        """
        if self.bound == COUNTS:
            require_sum_of_counts(total, sites=sites)
        else:
            require_sum_of_updates(
                total, sites=sites, bound=_real(self.bound), frac_bits=self.frac_bits
            )

    @cached_property
    def digest(self) -> str:
        """The context's name: SHA-256 of its canonical bytes, 64 hexadecimal digits."""
        return digest_json(to_json(self))

    @property
    def salt(self) -> bytes:
        """The digest's 32 bytes, as keys are salted with it."""
        return bytes.fromhex(self.digest)

    @property
    def attempt_slot(self) -> str:
        """The slot of this attempt: a silo takes part in one context for each."""
        return f"context/{self.round_kind}/{self.round}/{self.attempt}"

    @property
    def round_slot(self) -> str:
        """The slot of this round: a silo begins each round from one model."""
        return f"model/{self.round_kind}/{self.round}"

    def draw_slot(self, what: str) -> str:
        """Returns the line for what a silo does once in each draw of the run."""
        return f"{what}/{self.round_kind}/{self.round}/{self.draw}"

    @property
    def blob_bytes(self) -> int:
        """The size of one masked vector, in bytes."""
        return self.dim * self.ring_bits // 8

    def to_json(self) -> dict[str, Json]:
        """Returns the fields as JSON, without floating-point numbers."""
        return to_json(self)

    @classmethod
    def from_json(cls, value: Json) -> "RoundContext":
        """Returns the context that a JSON value holds; the inverse of ``to_json``.

        Raises:
            MessageRefused: the form is wrong or a rule is broken.
        """
        return from_json(cls, value)

    def coordinate_of(self, site: str) -> int:
        """Returns the site's x-coordinate for Shamir's shares: its place, from 1."""
        return self.participants.index(site) + 1


def _real(written: str) -> float:
    """Returns the number that is written in its one canonical spelling."""
    value = float(written)
    if repr(value) != written:
        raise ValueError(f"bound {written!r} is not the canonical spelling {value!r}")
    return value


def round_context(
    study: Study,
    *,
    run_id: str,
    roster_digest: str,
    round_kind: str,
    number: int,
    attempt: int,
    draw: int,
    log_size: int,
    log_root: str,
    model: Tensors,
    among: SumOfSites | None = None,
) -> RoundContext:
    """Returns the one context in which this round, or its sum ``among`` some hospitals, may be."""
    among = among or study.whole_sum
    vector = round_vector(study, model, number) if round_kind == "training" else None
    evaluation, sites = study.evaluation_vector, len(among.sites)
    return RoundContext(
        study_digest=study.digest,
        run_id=run_id,
        round_kind=round_kind,
        round=number,
        attempt=attempt,
        draw=draw,
        log_size=log_size,
        log_root=log_root,
        roster_digest=roster_digest,
        participants=among.sites,
        threshold=among.threshold,
        colluders=study.aggregation.colluders,
        model_hash=model_digest(model),
        layout_hash=vector.digest if vector else evaluation.digest,
        dim=vector.size if vector else evaluation.size,
        ring_bits=vector.ring_bits if vector else least_ring_bits(max_sum_of_counts(sites=sites)),
        frac_bits=vector.frac_bits if vector else 0,
        bound=f"{vector.bound!r}" if vector else COUNTS,
        weights_hash=study.weights_digest,
        dp_event_hash=study.privacy_digest(round_kind),
    )
