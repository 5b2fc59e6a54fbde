"""A silo's secrets in one context, and the shares of them that it seals for each holder.

Rules:

1. Both secrets, both key pairs and all salts are fresh in every context.
2. Every member of U1 is a holder, the owner too: the owner keeps its own
   openings and publishes their commitments like all others.
3. A holder takes an entry only if it is the one the owner signed, opens under
   the key of exactly this direction and context, and matches both commitments.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.errors import MessageRefused
from protocol.secagg.context import RoundContext
from protocol.secagg.masking import (
    mask_private_key,
    pair_key,
    seal,
    self_commitment,
    self_key,
    share_keys,
    unseal,
)
from protocol.secagg.messages import SEALED_BYTES, Advertise, ShareEntry, parse_entry
from protocol.secagg.secret_sharing import (
    OPENING_BYTES,
    SALT_BYTES,
    SHARE_BYTES,
    Opening,
    ShareKind,
    commit,
    parse_opening,
    split,
)
from protocol.vectors.keystream import fresh_key


@dataclass(frozen=True, kw_only=True, repr=False)
class SiloSecrets:
    """z and b of one context, the X25519 key that follows from z, and k for sealing."""

    context: RoundContext
    site: str
    pair_secret: bytes
    self_secret: bytes
    mask_private: X25519PrivateKey
    share_private: X25519PrivateKey

    @classmethod
    def fresh(cls, context: RoundContext, site: str) -> "SiloSecrets":
        """Returns new secrets from the operating system's generator."""
        pair_secret = fresh_key()
        return cls(
            context=context,
            site=site,
            pair_secret=pair_secret,
            self_secret=fresh_key(),
            mask_private=mask_private_key(pair_secret, context),
            share_private=X25519PrivateKey.generate(),
        )

    def advert(self) -> Advertise:
        """Returns what the others may know."""
        return Advertise(
            mask_public=self.mask_private.public_key().public_bytes_raw(),
            share_public=self.share_private.public_key().public_bytes_raw(),
            self_commitment=self_commitment(self.self_secret, self.context),
        )

    def mask_keys(self, adverts: Mapping[str, Advertise]) -> tuple[list[bytes], list[bytes]]:
        """Returns the keys whose streams are added to the vector, and those subtracted from it.

        Args:
            adverts: of the members of U2, by site; this silo's own is passed over.
        """
        add: list[bytes] = [self_key(self.self_secret, self.context)]
        subtract: list[bytes] = []
        for peer in sorted(set(adverts) - {self.site}):
            public = adverts[peer].mask_public
            key = pair_key(self.mask_private, public, self.context, self.site, peer)
            (add if self.site < peer else subtract).append(key)
        return add, subtract


@dataclass(frozen=True, kw_only=True)
class Openings:
    """The two shares that one owner made for one holder."""

    self_share: Opening
    pair_share: Opening

    def to_bytes(self) -> bytes:
        """Returns 196 bytes, to be sealed."""
        return self.self_share.to_bytes() + self.pair_share.to_bytes()

    def commitments(self, context: RoundContext, owner: str, holder: str) -> bytes:
        """Returns both commitments, 64 bytes."""
        return b"".join(
            commit(part.salt, context.digest, owner, holder, kind, part.share)
            for kind, part in ((ShareKind.SELF, self.self_share), (ShareKind.PAIR, self.pair_share))
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class Dealt:
    """The result of dealing: an entry for each holder, in sorted order, and what the owner keeps.

    ``receive_keys`` open what the others seal for this silo.
    """

    entries: tuple[bytes, ...]
    own: Openings
    receive_keys: Mapping[str, bytes]


def deal_shares(own: SiloSecrets, adverts: Mapping[str, Advertise]) -> Dealt:
    """Returns a silo's secrets, shared and sealed for every member of U1.

    Raises:
        MessageRefused: a member's public key is not a usable point; names it.
    """
    context, site = own.context, own.site
    holders = sorted(adverts)
    openings = _split_both(own, holders)
    entries, receive_keys = [], {}
    for holder in holders:
        sealed = bytes(SEALED_BYTES)
        if holder != site:
            try:
                public = adverts[holder].share_public
                keys = share_keys(own.share_private, public, context, site, holder)
            except MessageRefused as error:
                raise MessageRefused(f"site {holder}: {error}") from error
            receive_keys[holder] = keys[1]
            sealed = seal(keys[0], context, site, holder, openings[holder].to_bytes())
        entries.append(openings[holder].commitments(context, site, holder) + sealed)
    return Dealt(entries=tuple(entries), own=openings[site], receive_keys=receive_keys)


def open_entry(
    data: bytes, key: bytes, context: RoundContext, *, owner: str, holder: str
) -> Openings:
    """Returns the openings that an owner sealed for a holder, checked against its commitments.

    Raises:
        MessageRefused: the entry is malformed, cannot be opened, or does not match.
    """
    entry: ShareEntry = parse_entry(data)
    plain = unseal(key, context, owner, holder, entry.sealed)
    openings = Openings(
        self_share=parse_opening(plain[:OPENING_BYTES]),
        pair_share=parse_opening(plain[OPENING_BYTES:]),
    )
    if openings.commitments(context, owner, holder) != entry.commitments:
        raise MessageRefused("the shares do not match their commitments")
    return openings


def _split_both(own: SiloSecrets, holders: list[str]) -> dict[str, Openings]:
    places = {holder: own.context.coordinate_of(holder) for holder in holders}
    threshold = own.context.threshold
    selves = split(own.self_secret, threshold, places.values(), secrets.randbelow)
    pairs = split(own.pair_secret, threshold, places.values(), secrets.randbelow)
    return {
        holder: Openings(self_share=_salted(selves[x]), pair_share=_salted(pairs[x]))
        for holder, x in places.items()
    }


def _salted(share: int) -> Opening:
    return Opening(share=share.to_bytes(SHARE_BYTES, "big"), salt=secrets.token_bytes(SALT_BYTES))
