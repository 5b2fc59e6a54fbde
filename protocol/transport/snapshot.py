"""Federated snapshots: what a released model is, signed by the coordinator and by hospitals.

Rules:

1. A snapshot names the model by its tensor digest, and what it came from: study, run, round, first
   parameters, roster, the sums of the last round of training, and the run's manifest of software.
2. It states for every hospital that joined what was promised to its patients, and the released
   figures with their intervals; licence and permitted use are those of the study that hospitals
   approved.
3. The coordinator signs it first. A hospital signs the same bytes once it has held them to what it
   knows itself, and signs no other snapshot of that run.
4. It is valid with the signatures of as many hospitals as the study's secure sum needs, which
   whoever accepts it holds to the study. An accepted snapshot has no signature that does not
   verify.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from protocol.codec import (
    DIGEST,
    MAX_SITES,
    Digest,
    SiteName,
    from_json,
    hex_bytes,
    integer,
    list_of,
    map_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, QuorumLost
from protocol.identity.roster import COORDINATOR, Roster, SigningKey, verify
from protocol.identity.timestamps import Time
from protocol.transport.privacy_summary import Summary
from protocol.transport.run_announcement import MILLIONTHS, ReleasedFigure

#: The domain of a snapshot's signatures; see ``protocol.identity.roster``.
_DOMAIN = "snapshot"
_MAX_BYTES = 1 << 17
_MAX_SUMS, _MAX_FIGURES, _MAX_PARENTS = 64, 16, 8
_SIGNATURE = hex_bytes(64)
_RUN = text(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_WORD = text(r"[a-z][a-z _-]{0,31}")
_DELTA = text(r"[0-9]+(\.[0-9]+)?(e-[0-9]{1,3})?")
#: At most 10**6 in millionths; see ``protocol.study.frozen_model``.
_LOSS = integer(0, 10**6 * MILLIONTHS)
_TERMS = text(r"[ -~]{0,500}")


@dataclass(frozen=True, kw_only=True)
class PromisedPrivacy:
    """One hospital's promise to its patients in the run.

    Attributes:
        unit: ``patient`` or ``record``.
        mode: ``per_site``, ``distributed`` or ``none``.
        noise: ``exact``, ``fixed test noise`` or ``none``; only the first protects anybody.
        epsilon: of a training patient, in millionths, rounded up; None where nothing is claimed.
        evaluation_epsilon: of a test patient, likewise.
        delta: as decimal text; None where nothing is claimed.
    """

    site: SiteName
    unit: Annotated[str, _WORD]
    mode: Annotated[str, _WORD]
    noise: Annotated[str, _WORD]
    epsilon: Annotated[int | None, optional(_LOSS)]
    evaluation_epsilon: Annotated[int | None, optional(_LOSS)]
    delta: Annotated[str | None, optional(_DELTA)]


@dataclass(frozen=True, kw_only=True)
class RoundAggregate:
    """One sum of the last round of training: the digest of its context, and of the sum."""

    context: Digest
    sum: Digest


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A released model and how it was made; the fields that are digests are SHA-256 in hexadecimal.

    Attributes:
        coordinator: the public key that signs the consortium's log.
        run: where it was trained; beside it the digests of its plan and of the members' roster.
        round: after so many rounds of training the model was as it is.
        model, layout: the digests of its parameters, and of their names and shapes.
        parents: the models that it was trained from: the run's first parameters.
        aggregates: the sums of the last round of training before it; none where there was none.
        manifest: of the run's software and seeds; None where the run kept none.
        quorum: how many hospitals have to sign.
        privacy: one promise for each hospital that joined, sorted by site.
        figures: what was released of it, over all hospitals.
        licence, permitted_use: the study's terms; empty where it has none.
        created: when (UTC).

    Raises:
        ValueError: a field has another form, or the hospitals are not sorted, each once.
    """

    coordinator: Digest
    run: Annotated[str, _RUN]
    study: Digest
    roster: Digest
    round: Annotated[int, integer(0, 10**6)]
    model: Digest
    layout: Digest
    parents: Annotated[tuple[str, ...], list_of(DIGEST, _MAX_PARENTS)]
    aggregates: Annotated[tuple[RoundAggregate, ...], list_of(nested(RoundAggregate), _MAX_SUMS)]
    manifest: Annotated[str | None, optional(DIGEST)]
    quorum: Annotated[int, integer(1, MAX_SITES)]
    privacy: Annotated[tuple[PromisedPrivacy, ...], list_of(nested(PromisedPrivacy), MAX_SITES)]
    figures: Annotated[tuple[ReleasedFigure, ...], list_of(nested(ReleasedFigure), _MAX_FIGURES)]
    licence: Annotated[str, _TERMS]
    permitted_use: Annotated[str, _TERMS]
    created: Time

    def __post_init__(self) -> None:
        require_forms(self)
        sites = list(self.sites)
        if not sites or sites != sorted(set(sites)):
            raise ValueError("a snapshot's hospitals must be sorted by site, each named once")
        if self.quorum > len(sites):
            raise ValueError("a snapshot's quorum is more than its hospitals")

    @property
    def sites(self) -> tuple[str, ...]:
        """The hospitals that joined the run."""
        return tuple(one.site for one in self.privacy)

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that are signed."""
        return canonical(to_json(self))

    @property
    def digest(self) -> str:
        """The snapshot's name: the SHA-256 of its canonical bytes."""
        return digest(self.canonical_bytes)

    def require_quorum(self, least: int, sites: Collection[str]) -> None:
        """Checks that as many hospitals have to sign as the study says, and that all are its own.

        A coordinator and one hospital could else make a snapshot that asks for one signature.

        Args:
            least: the study's own threshold.
            sites: the hospitals of the study that the snapshot names.

        Raises:
            MessageRefused: it asks for another number, or names other hospitals.
        """
        if self.quorum != least:
            raise MessageRefused(
                f"the snapshot asks for {self.quorum} signatures, and its study for {least}"
            )
        others = sorted(set(self.sites) - set(sites))
        if others:
            raise MessageRefused(f"the snapshot names {others[0]}, which is not of its study")

    def promised_to(self, site: str) -> PromisedPrivacy:
        """Returns what a hospital promised its patients.

        Raises:
            MessageRefused: the hospital is not in the snapshot.
        """
        for one in self.privacy:
            if one.site == site:
                return one
        raise MessageRefused(f"the snapshot does not name {site}")


@dataclass(frozen=True, kw_only=True)
class SignedSnapshot:
    """A snapshot with signatures over its canonical bytes: the coordinator's, and by hospital."""

    snapshot: Annotated[Snapshot, nested(Snapshot)]
    coordinator_signature: Annotated[bytes, _SIGNATURE]
    signatures: Annotated[Mapping[str, bytes], map_of(_SIGNATURE, MAX_SITES)] = field(
        default_factory=dict
    )

    def to_bytes(self) -> bytes:
        """Returns the snapshot as it travels and is kept; the inverse of ``parse_snapshot``."""
        return canonical(to_json(self))

    def with_signature(self, site: str, signature: bytes, roster: Roster) -> "SignedSnapshot":
        """Returns the snapshot with one more hospital's signature, once that is verified.

        Raises:
            MessageRefused: the hospital is not in it, or did not sign it.
        """
        self.snapshot.promised_to(site)
        verify(roster.key_of(site), _DOMAIN, self.snapshot.canonical_bytes, signature)
        return SignedSnapshot(
            snapshot=self.snapshot,
            coordinator_signature=self.coordinator_signature,
            signatures={**self.signatures, site: signature},
        )

    def require_signed(self, coordinator_public: bytes, roster: Roster) -> None:
        """Checks every signature, and that there are enough.

        Args:
            coordinator_public: the key that is trusted as the coordinator's (32 bytes).
            roster: the hospitals' keys, of the digest that the snapshot names.

        Raises:
            MessageRefused: coordinator, roster or a signature is another.
            QuorumLost: fewer hospitals have signed than the snapshot needs.
        """
        self.require_of(coordinator_public)
        if roster.digest != self.snapshot.roster:
            raise MessageRefused("the snapshot names another roster")
        data = self.snapshot.canonical_bytes
        for site, signature in self.signatures.items():
            self.snapshot.promised_to(site)
            try:
                verify(roster.key_of(site), _DOMAIN, data, signature)
            except MessageRefused as error:
                raise MessageRefused(f"{site} did not sign this snapshot: {error}") from error
        if len(self.signatures) < self.snapshot.quorum:
            raise QuorumLost(
                f"{len(self.signatures)} of {len(self.snapshot.sites)} hospitals have signed the "
                f"snapshot, {self.snapshot.quorum} must"
            )

    def require_of(self, coordinator_public: bytes) -> None:
        """Checks that the coordinator with this key signed it.

        Raises:
            MessageRefused: it names another coordinator, or that did not sign it.
        """
        if bytes.fromhex(self.snapshot.coordinator) != coordinator_public:
            raise MessageRefused("the snapshot is of another coordinator")
        data = self.snapshot.canonical_bytes
        try:
            verify(coordinator_public, _DOMAIN, data, self.coordinator_signature)
        except MessageRefused as error:
            raise MessageRefused(
                f"the {COORDINATOR} did not sign this snapshot: {error}"
            ) from error


def promised_privacy(summary: Summary) -> PromisedPrivacy:
    """Returns a hospital's promise as a snapshot states it, from its own summary of the run."""
    return PromisedPrivacy(
        site=summary.site,
        unit=summary.unit,
        mode=summary.mode,
        noise=summary.noise,
        epsilon=_millionths(summary.epsilon),
        evaluation_epsilon=_millionths(summary.evaluation_epsilon),
        delta=None if summary.delta is None else repr(float(summary.delta)),
    )


def sign_snapshot(snapshot: Snapshot, key: SigningKey) -> SignedSnapshot:
    """Returns a snapshot under the coordinator's signature, which no hospital has signed yet."""
    return SignedSnapshot(snapshot=snapshot, coordinator_signature=cosign_snapshot(snapshot, key))


def cosign_snapshot(snapshot: Snapshot, key: SigningKey) -> bytes:
    """Returns a hospital's signature (64 bytes) of a snapshot that it has checked."""
    return key.sign(_DOMAIN, snapshot.canonical_bytes)


def parse_snapshot(data: bytes) -> SignedSnapshot:
    """Returns the signed snapshot that bytes hold; no signature is verified here.

    Raises:
        MessageRefused: too large, or in another form.
    """
    if len(data) > _MAX_BYTES:
        raise MessageRefused(f"a snapshot has at most {_MAX_BYTES} bytes")
    return from_json(SignedSnapshot, parse_canonical(data))


def _millionths(epsilon: float | None) -> int | None:
    return None if epsilon is None else math.ceil(epsilon * MILLIONTHS)
