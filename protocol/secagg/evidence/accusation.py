"""Accusations of sites that answered wrongly in a round, with the signed messages that show it.

What shows a wrong answer depends on the answer:

* ``keys``: an advert whose keys cannot be used, or are the same. Signed by the
  accused: proven.
* ``reveal``: shares revealed that are not the ones their owner committed to.
  The accused signed the reveal, and which survivors and senders it belongs to;
  the owner signed its commitments: proven.
* ``secret``: shares that open their owner's commitments, enough of them, and do
  not give the secret that it advertised. Both are signed by the accused, and
  openings prove themselves: proven.
* ``complaint``: a member signed that it could not use the shares of the accused.
  One of the two lies; only the holder of their key could say which.
* ``answer``: anything else. What came is kept, but nothing signed by the accused
  shows that it was not asked for it: the coordinator's word.

``judge`` needs the members' public keys and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from protocol.codec import (
    DIGEST,
    MAX_SITES,
    SITE_NAME,
    SiteName,
    base64_bytes,
    from_json,
    map_of,
    nested,
    optional,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, digest_json, parse_canonical
from protocol.errors import MessageRefused
from protocol.secagg.context import RoundContext
from protocol.secagg.masking import is_pair_secret, is_self_secret, require_usable
from protocol.secagg.messages import (
    ENTRY_BYTES,
    HASH_BYTES,
    Advertise,
    Complaint,
    Consistency,
    M,
    Origin,
    Reveal,
    ShareHeader,
    commitment_in,
    digest_of_blobs,
    open_message,
    pieces,
)
from protocol.secagg.secret_sharing import OPENING_BYTES, SHARE_BYTES, ShareKind, combine, commit

#: Of an answer that proves nothing no more than this is kept.
MAX_ANSWER = 1 << 16
#: The kinds whose evidence convicts the accused.
PROVABLE = ("keys", "reveal", "secret")
_MESSAGES = base64_bytes(1 << 17)


class Verdict(StrEnum):
    """The strength of an accusation."""

    PROVEN = "proven by what it signed"
    ACCUSED = "a member's word against its own"
    CLAIMED = "the coordinator's word"


@dataclass(frozen=True, kw_only=True)
class Accusation:
    """One accusation. ``other`` is the accuser of a complaint, or the owner of a revealed share.

    ``messages`` are signed messages by their type; ``adverts``, ``senders`` and
    ``blobs`` name U1, U2 and U3 as their digests cover them; ``entries`` and
    ``openings`` belong to an owner's shares, by holder.
    """

    context: Annotated[RoundContext, nested(RoundContext)]
    kind: Annotated[str, text("keys|reveal|secret|complaint|answer")]
    against: SiteName
    why: Annotated[str, text("[ -~]{1,300}")]
    other: Annotated[str | None, optional(SITE_NAME)] = None
    messages: Annotated[Mapping[str, bytes], map_of(_MESSAGES, 4)] = field(default_factory=dict)
    adverts: Annotated[Mapping[str, str], map_of(DIGEST, MAX_SITES)] = field(default_factory=dict)
    senders: Annotated[Mapping[str, str], map_of(DIGEST, MAX_SITES)] = field(default_factory=dict)
    blobs: Annotated[Mapping[str, str], map_of(DIGEST, MAX_SITES)] = field(default_factory=dict)
    entries: Annotated[Mapping[str, bytes], map_of(base64_bytes(ENTRY_BYTES), MAX_SITES)] = field(
        default_factory=dict
    )
    openings: Annotated[Mapping[str, bytes], map_of(base64_bytes(OPENING_BYTES), MAX_SITES)] = (
        field(default_factory=dict)
    )

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that are kept and logged by digest; the inverse is ``parse_accusation``."""
        return canonical(to_json(self))


def parse_accusation(data: bytes) -> Accusation:
    """Returns the accusation held in canonical bytes; it is not judged yet.

    Raises:
        MessageRefused: it is malformed.
    """
    return from_json(Accusation, parse_canonical(data))


def judge(accusation: Accusation, publics: Mapping[str, bytes]) -> Verdict:
    """Returns what an accusation is worth, after checking all that it rests on.

    Args:
        accusation: what is claimed, with its evidence.
        publics: the public key of each member of the round's roster.

    Raises:
        MessageRefused: the evidence is not genuine, or does not show what it is said to show.
    """
    case = _Case(accusation, publics)
    if accusation.kind == "keys":
        case.require_wrong_keys()
    elif accusation.kind == "reveal":
        case.require_false_reveal()
    elif accusation.kind == "secret":
        case.require_false_secret()
    elif accusation.kind == "complaint":
        case.require_complaint()
        return Verdict.ACCUSED
    else:
        return Verdict.CLAIMED
    return Verdict.PROVEN


class _Case:
    """One accusation before the judge."""

    def __init__(self, accusation: Accusation, publics: Mapping[str, bytes]) -> None:
        self._of, self._publics = accusation, publics

    def require_wrong_keys(self) -> None:
        advert = self._opened(Advertise, self._of.against)
        if advert.mask_public == advert.share_public:
            return
        try:
            for public in (advert.mask_public, advert.share_public):
                require_usable(public)
        except MessageRefused:
            return
        raise MessageRefused("the advertised keys can be used")

    def require_false_reveal(self) -> None:
        of, holder = self._of, self._of.against
        statement, reveal = self._opened(Consistency, holder), self._opened(Reveal, holder)
        if digest_of_blobs(of.blobs) != statement.survivors:
            raise MessageRefused("the accused signed other survivors")
        if digest_json(dict(of.senders)) != statement.senders:
            raise MessageRefused("the accused signed other senders")
        inside, lost = sorted(of.blobs), sorted(of.senders.keys() - of.blobs.keys())
        sizes = len(reveal.self_shares), len(reveal.pair_shares)
        if sizes != (OPENING_BYTES * len(inside), OPENING_BYTES * len(lost)):
            return  # it revealed too few shares, or too many
        owner = of.other or ""
        kind, owners = (ShareKind.SELF, inside) if owner in inside else (ShareKind.PAIR, lost)
        if owner not in owners:
            raise MessageRefused("the owner of the share sent none")
        revealed = reveal.self_shares if kind is ShareKind.SELF else reveal.pair_shares
        opening = pieces(revealed, OPENING_BYTES, len(owners))[owners.index(owner)]
        if of.senders[owner] != digest(of.messages.get(ShareHeader.type, b"")):
            raise MessageRefused("the header is not the one that the accused was sent")
        entry = self._entry(owner, holder)
        if self._opens(opening, entry, owner, holder, kind):
            raise MessageRefused("the revealed share is the one that its owner committed to")

    def require_false_secret(self) -> None:
        of, owner = self._of, self._of.against
        advert = self._opened(Advertise, owner)
        if of.adverts.get(owner) != digest(of.messages[Advertise.type]):
            raise MessageRefused("the header belongs to another advert")
        if len(of.openings) < of.context.threshold or of.openings.keys() != of.entries.keys():
            raise MessageRefused("there are too few shares to give a secret")
        for kind in ShareKind:
            shares = {
                of.context.coordinate_of(holder): int.from_bytes(opening[:SHARE_BYTES], "big")
                for holder, opening in sorted(of.openings.items())[: of.context.threshold]
                if self._opens(opening, self._entry(owner, holder), owner, holder, kind)
            }
            if len(shares) == of.context.threshold:
                if self._gives(shares, advert, kind):
                    raise MessageRefused("the shares give the secret that was advertised")
                return
        raise MessageRefused("the shares are not the ones that their owner committed to")

    def require_complaint(self) -> None:
        if self._opened(Complaint, self._of.other or "").against != self._of.against:
            raise MessageRefused("the complaint is about another site")

    def _opened(self, kind: type[M], sender: str) -> M:
        """Returns a message of the evidence, which its sender has signed in this context."""
        if sender not in self._publics or kind.type not in self._of.messages:
            raise MessageRefused(f"the evidence lacks the {kind.type} message of {sender or '?'}")
        origin = Origin(
            sender=sender, public=self._publics[sender], context=self._of.context.digest
        )
        return open_message(self._of.messages[kind.type], kind, origin)

    def _entry(self, owner: str, holder: str) -> bytes:
        """Returns the entry that an owner's signed header names for a holder."""
        header = self._opened(ShareHeader, owner)
        if digest_json(dict(self._of.adverts)) != header.adverts:
            raise MessageRefused("the header belongs to other adverts")
        holders, entry = sorted(self._of.adverts), self._of.entries.get(holder, b"")
        if holder not in holders:
            raise MessageRefused("the holder advertised nothing")
        named = pieces(header.entries, HASH_BYTES, len(holders))[holders.index(holder)]
        if named.hex() != digest(entry) or len(entry) != ENTRY_BYTES:
            raise MessageRefused("the entry is not the one that its owner signed")
        return entry

    def _opens(
        self, opening: bytes, entry: bytes, owner: str, holder: str, kind: ShareKind
    ) -> bool:
        if len(opening) != OPENING_BYTES:
            return False
        share, salt = opening[:SHARE_BYTES], opening[SHARE_BYTES:]
        made = commit(salt, self._of.context.digest, owner, holder, kind, share)
        return made == commitment_in(entry, kind)

    def _gives(self, shares: Mapping[int, int], advert: Advertise, kind: ShareKind) -> bool:
        try:
            secret = combine(shares)
        except MessageRefused:
            return False
        is_advertised = is_self_secret if kind is ShareKind.SELF else is_pair_secret
        return is_advertised(secret, advert, self._of.context)
