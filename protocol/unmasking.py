"""From revealed shares to the keys of the masks that are left in a sum.

Rules:

1. A reveal holds exactly one share for every sender: of b for a survivor, of
   z for one that sent no vector. Each opens the commitment of its owner.
2. Secrets are rebuilt from exactly t shares, with the same factors for all
   owners; a secret that does not match its owner's advert names the owner.

Source: Bonawitz et al. 2017 (CCS), figure 4, round 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from protocol.context import RoundContext
from protocol.errors import MessageRefused
from protocol.masking import mask_private_key, pair_key, self_commitment, self_key
from protocol.messages import Advertise, Reveal, commitment_in, pieces
from protocol.shares import OPENING_BYTES, SHARE_BYTES, Kind, combine, commit


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is public when vectors have arrived.

    ``adverts`` are those of U1; ``entries`` every owner's entry for every
    holder, owners being U2; ``survivors`` are U3.
    """

    context: RoundContext
    adverts: Mapping[str, Advertise]
    entries: Mapping[str, Mapping[str, bytes]]
    survivors: tuple[str, ...]

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """The senders of shares that are not in the sum."""
        return tuple(sorted(set(self.entries) - set(self.survivors)))


@dataclass(frozen=True, kw_only=True, repr=False)
class Revealed:
    """One holder's shares, by owner, each the one that its owner committed to."""

    self_shares: Mapping[str, int]
    pair_shares: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, repr=False)
class Rebuilt:
    """The survivors' b and the lost senders' z, by owner.

    ``liars`` are owners whose shares open their commitments and yet do not
    give the secret they advertised.
    """

    self_secrets: Mapping[str, bytes]
    pair_secrets: Mapping[str, bytes]
    liars: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, repr=False)
class MaskKeys:
    """The keys whose streams must be added to the masked sum, and subtracted from it."""

    add: tuple[bytes, ...]
    subtract: tuple[bytes, ...]


def check_reveal(reveal: Reveal, holder: str, shared: Shared) -> Revealed:
    """Returns the shares of one holder, after checking every one of them.

    Raises:
        MessageRefused: a share is missing, too many, or does not open its commitment.
    """
    return Revealed(
        self_shares=_checked(reveal.self_shares, Kind.SELF, shared.survivors, holder, shared),
        pair_shares=_checked(reveal.pair_shares, Kind.PAIR, shared.lost, holder, shared),
    )


def _checked(
    openings: bytes, kind: Kind, owners: tuple[str, ...], holder: str, shared: Shared
) -> Mapping[str, int]:
    """Returns one share for each owner, by owner."""
    shares, context = {}, shared.context.digest
    for owner, part in zip(owners, pieces(openings, OPENING_BYTES, len(owners)), strict=True):
        share, salt = part[:SHARE_BYTES], part[SHARE_BYTES:]
        promised = commitment_in(shared.entries[owner][holder], kind)
        if commit(salt, context, owner, holder, kind, share) != promised:
            raise MessageRefused(f"its share of site {owner} does not match the commitment")
        shares[owner] = int.from_bytes(share, "big")
    return shares


def rebuild(reveals: Mapping[str, Revealed], shared: Shared) -> Rebuilt:
    """Returns the secrets that checked reveals give.

    Args:
        reveals: at least t of them, by holder.
        shared: what is public.
    """
    holders = sorted(reveals)[: shared.context.threshold]
    self_secrets, pair_secrets, liars = {}, {}, []
    for owner in shared.survivors:
        shares = {holder: reveals[holder].self_shares[owner] for holder in holders}
        secret = _combined(shares, shared.context)
        if secret is None or not is_self_secret(secret, shared.adverts[owner], shared.context):
            liars.append(owner)
        else:
            self_secrets[owner] = secret
    for owner in shared.lost:
        shares = {holder: reveals[holder].pair_shares[owner] for holder in holders}
        secret = _combined(shares, shared.context)
        if secret is None or not is_pair_secret(secret, shared.adverts[owner], shared.context):
            liars.append(owner)
        else:
            pair_secrets[owner] = secret
    return Rebuilt(self_secrets=self_secrets, pair_secrets=pair_secrets, liars=tuple(liars))


def mask_keys(rebuilt: Rebuilt, shared: Shared) -> MaskKeys:
    """Returns the keys that take every mask out of the sum.

    The masks left are the self masks of all survivors, and the pair masks
    between survivors and lost senders.

    Raises:
        ValueError: there are liars, so that masks would be left in the sum.
    """
    if rebuilt.liars:
        raise ValueError("the secrets are not complete")
    context, adverts = shared.context, shared.adverts
    add: list[bytes] = []
    subtract = [self_key(secret, context) for secret in rebuilt.self_secrets.values()]
    for owner, secret in rebuilt.pair_secrets.items():
        private = mask_private_key(secret, context)
        for survivor in shared.survivors:
            key = pair_key(private, adverts[survivor].mask_public, context, owner, survivor)
            # The survivor added this stream for a peer after it, subtracted it for one before.
            (subtract if survivor < owner else add).append(key)
    return MaskKeys(add=tuple(add), subtract=tuple(subtract))


def _combined(shares: Mapping[str, int], context: RoundContext) -> bytes | None:
    try:
        return combine({context.coordinate_of(h): share for h, share in shares.items()})
    except MessageRefused:
        return None


def is_self_secret(secret: bytes, advert: Advertise, context: RoundContext) -> bool:
    """Whether a secret is the b that its owner advertised."""
    return self_commitment(secret, context) == advert.self_commitment


def is_pair_secret(secret: bytes, advert: Advertise, context: RoundContext) -> bool:
    """Whether a secret is the z whose public key its owner advertised."""
    public = mask_private_key(secret, context).public_key().public_bytes_raw()
    return public == advert.mask_public
