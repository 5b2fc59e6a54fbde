"""One silo's side of one secure sum: verified bytes in, signed bytes out, no I/O.

Order: ``advertise``, ``share``, ``accept_shares``, ``mask`` and
``masked_message``, ``confirm``, ``reveal``.

Rules, even against a hostile coordinator:

1. A silo takes part in one context for each round and attempt of a run.
2. For each draw of a round it masks one vector, and reveals it among one set of
   sites only: of the sums that hold this vector at most one is ever unmasked.
3. In a context it makes one advert, one set of shares, one masked vector, one
   signature on who is in the round, and one reveal. What it made is durable
   in the ``EquivocationGuard`` before it leaves; a restarted silo therefore drops out.
4. It accepts one U1 (adverts), one U2 (senders of shares) and one U3
   (survivors), each inside the one before it and never below the threshold or
   the silo's own minimum. Every advert and header is signed by a pinned member.
5. It reveals only after t members of U3 have signed exactly what it signed
   itself: the share of b for a survivor, of z for any other sender, never both.
6. Its secrets are fresh, live in memory and are dropped once they have served.

Source: Bonawitz et al. 2017 (CCS), figure 4 with the consistency check;
``docs/protocol.md``.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from protocol.codec import require_forms, to_json
from protocol.encoding import blob_digest, digest, digest_json
from protocol.errors import DrawSpent, MessageRefused, OutOfOrder
from protocol.identity.roster import COORDINATOR, Roster, SigningKey
from protocol.secagg.context import RoundContext
from protocol.secagg.encrypted_shares import Dealt, Openings, SiloSecrets, deal_shares, open_entry
from protocol.secagg.masking import apply_masks, require_usable, ring_dtype
from protocol.secagg.messages import (
    ENTRY_BYTES,
    HASH_BYTES,
    Advertise,
    AdvertList,
    Complaint,
    Consistency,
    M,
    Masked,
    Message,
    Origin,
    Reveal,
    RoundOpen,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
    digest_of_blobs,
    digest_of_messages,
    header_of,
    open_message,
    pieces,
    read_unverified,
    sign_message,
)
from protocol.vectors.evaluation import OWN_CELLS
from protocol.vectors.keystream import RingVector

T = TypeVar("T")

#: A sum over fewer sites shows each of them too much of the others.
MIN_PARTICIPANTS = 3


#: A context or a run, a slot in it, and the digest of what was done there.
Binding: TypeAlias = tuple[str, str, str]


class EquivocationGuard(Protocol):
    """A durable record, kept by the hospital, of what its silo may not do again differently."""

    def record(self, *bindings: Binding) -> None:
        """Records a digest for each slot, all of them or none; the same again is fine.

        Raises:
            MessageRefused: another digest stands in one of them already.
        """


@dataclass(frozen=True, kw_only=True)
class _Adverts:
    """U1: everybody's public keys, and the digest of the signed adverts."""

    digest: str
    by_site: Mapping[str, Advertise]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each holder in every header and bundle, by site."""
        return {site: place for place, site in enumerate(sorted(self.by_site))}


@dataclass(frozen=True, kw_only=True)
class _Survivors:
    """U3, and the statement that this silo signs about the whole round."""

    sites: tuple[str, ...]
    statement: Consistency

    @property
    def digest(self) -> str:
        """One digest for these sites, whatever their blobs."""
        return digest_json(list(self.sites))


def opened_round(wire: bytes, coordinator_public: bytes) -> RoundOpen:
    """Returns what the coordinator opens a round with.

    Raises:
        MessageRefused: it is malformed, not the coordinator's, or breaks the
            rules of a context.
    """
    origin = Origin(sender=COORDINATOR, public=coordinator_public, context=None)
    claimed = read_unverified(wire, RoundOpen, origin).context
    # The envelope must name the very context that it carries.
    origin = Origin(sender=COORDINATOR, public=coordinator_public, context=claimed.digest)
    return open_message(wire, RoundOpen, origin)


class SecAggClient:
    """The state machine of one silo in one context.

    A refused message changes nothing: the right one may still come. A repeated
    request gets the same bytes again. ``own_cells`` is how many numbers stand beside the vector
    in an evaluation (``EvaluationVector.own_cells``). ``among`` names the sites among which
    this draw was revealed in an earlier attempt (``revealed_among``), if it was.

    Raises:
        MessageRefused: this silo, its key, or a participant does not
            stand in the pinned roster, or the context names another roster.
    """

    def __init__(
        self,
        *,
        context: RoundContext,
        site: str,
        key: SigningKey,
        roster: Roster,
        coordinator_public: bytes,
        guard: EquivocationGuard,
        min_sites: int = MIN_PARTICIPANTS,
        own_cells: int = OWN_CELLS,
        among: str | None = None,
    ) -> None:
        if roster.digest != context.roster_digest:
            raise MessageRefused("the context names another roster than the pinned one")
        if site not in context.participants:
            raise MessageRefused(f"site {site} is no participant")
        self._publics = {member: roster.key_of(member) for member in context.participants}
        if self._publics[site] != key.public:
            raise MessageRefused(f"the roster holds another key for site {site}")
        self.context, self.site = context, site
        self._key, self._coordinator, self._guard = key, coordinator_public, guard
        self._own_cells = own_cells if context.round_kind == "evaluation" else 0
        self._least = max(context.threshold, min_sites, MIN_PARTICIPANTS)
        self._among = among
        self._secrets: SiloSecrets | None = None
        self._advert: bytes | None = None
        self._adverts: _Adverts | None = None
        self._dealt: Dealt | None = None
        self._header: bytes | None = None
        self._entries: bytes | None = None
        self._senders: tuple[str, ...] | None = None
        self._senders_digest = ""
        self._openings: Mapping[str, Openings] = {}
        self._culprit: str | None = None
        self._blob: str | None = None
        self._content: str | None = None
        self._table: tuple[int, ...] = ()
        self._survivors: _Survivors | None = None
        self._revealed: bytes | None = None

    def advertise(self) -> bytes:
        """Returns the signed public keys of this context.

        Raises:
            MessageRefused: this silo has begun this round and attempt before,
                in another context or before a restart.
        """
        if self._advert is None:
            own = SiloSecrets.fresh(self.context, self.site)
            advert = self._sign(own.advert())
            self._guard.record(
                (self.context.run_id, self.context.attempt_slot, self.context.digest),
                (self.context.digest, "advert", digest(advert)),
            )
            self._secrets, self._advert = own, advert
        return self._advert

    def share(self, adverts: bytes) -> tuple[bytes, bytes]:
        """Returns this silo's secrets, shared and sealed for every member of U1.

        The signed header comes first, then the entries that it names.

        Raises:
            MessageRefused: an advert is not its member's, a key is used twice,
                or U1 is too small or not the one accepted before.
        """
        own_advert = _needed(self._advert, "advertise")
        request = self._from_coordinator(adverts, AdvertList).adverts
        named = digest_of_messages(request)
        if self._adverts is None:
            self._require("U1", request, within=self.context.participants)
            if request[self.site] != own_advert:
                raise MessageRefused("U1 holds another advert than this silo's own")
            found = {site: self._from_site(site, wire, Advertise) for site, wire in request.items()}
            _require_distinct_keys(found)
            for site, advert in found.items():
                with self._naming(site):
                    require_usable(advert.mask_public)
            dealt = deal_shares(_needed(self._secrets, "advertise"), found)
            header = self._sign(ShareHeader(adverts=named, entries=header_of(dealt.entries)))
            self._guard.record(
                (self.context.digest, "adverts", named),
                (self.context.digest, "share", digest(header)),
            )
            self._adverts, self._dealt = _Adverts(digest=named, by_site=found), dealt
            self._header = header
            self._entries = b"".join(dealt.entries)
        if named != self._adverts.digest:
            raise MessageRefused("another U1 was accepted before")
        return _needed(self._header, "share"), _needed(self._entries, "share")

    @property
    def sharers(self) -> tuple[str, ...]:
        """The sites of U1, sorted: nobody else can be in this silo's sum.

        Raises:
            OutOfOrder: U1 was not accepted yet.
        """
        return tuple(_needed(self._adverts, "share").places)

    def accept_shares(self, senders: bytes, entries: bytes) -> None:
        """Takes the shares that every member of U2 made for this silo.

        Args:
            senders: the coordinator's signed list of U2.
            entries: what each of U2 made for this silo, in sorted order.

        Raises:
            MessageRefused: a member's header, ciphertext or commitment is
                wrong (the message names it and ``complaint`` accuses it), or
                U2 is too small or not the one accepted before.
        """
        adverts = _needed(self._adverts, "share")
        headers = self._from_coordinator(senders, SenderList).headers
        named = digest_of_messages(headers)
        if self._senders is None:
            self._require("U2", headers, within=adverts.places)
            if headers[self.site] != self._header:
                raise MessageRefused("U2 holds another header than this silo's own")
            owners = sorted(headers)
            parts = pieces(entries, ENTRY_BYTES, len(owners))
            openings = {
                owner: self._opened(owner, headers[owner], part, adverts)
                for owner, part in zip(owners, parts, strict=True)
            }
            self._once("senders", named)
            self._senders, self._senders_digest = tuple(openings), named
            self._openings, self._dealt = openings, None
        if named != self._senders_digest:
            raise MessageRefused("another U2 was accepted before")

    def complaint(self) -> bytes:
        """Returns the signed accusation of the member whose shares were refused.

        Raises:
            OutOfOrder: there is nobody to accuse.
        """
        return self._sign(Complaint(against=_needed(self._culprit, "a refused delivery")))

    def mask(
        self, vector: RingVector, *, table: tuple[int, ...] = (), threads: int = 1
    ) -> memoryview:
        """Returns the one masked blob of this context: little-endian words.

        The vector itself is masked and the blob is its memory: what it held in
        clear is gone. So are the secrets: to send the blob again, keep
        these bytes.

        Args:
            vector: (dim,) words of the context's ring.
            table: in an evaluation this silo's own noised table, for ``masked_message``.
            threads: how many may make keystream; the blob is the same for any.

        Raises:
            OutOfOrder: the shares were not accepted yet, or a vector was masked already.
            MessageRefused: another vector was masked in this draw before, or the round
                was begun from another model.
            ValueError: the vector or the table has another type or length.
        """
        senders, adverts = _needed(self._senders, "accept_shares"), _needed(self._adverts, "share")
        if self._secrets is None:
            raise OutOfOrder("a vector was masked already in this context")
        words = ring_dtype(self.context)
        if vector.dtype != words or vector.shape != (self.context.dim,):
            raise ValueError(f"expected ({self.context.dim},) {words}, got {vector.shape}")
        if len(table) != self._own_cells:
            raise ValueError(f"expected a table of {self._own_cells}, got {len(table)}")
        content = content_digest(blob_digest(vector.view(np.uint8).data, threads), table)
        own, self._secrets = self._secrets, None
        add, subtract = own.mask_keys({peer: adverts.by_site[peer] for peer in senders})
        apply_masks(vector, add=add, subtract=subtract, threads=threads)
        blob = vector.view(np.uint8).data.toreadonly()
        named, run = blob_digest(blob, threads), self.context.run_id
        self._guard.record(
            (self.context.digest, "masked", named),
            (run, self.context.draw_slot("vector"), content),
            (run, self.context.round_slot, self.context.model_hash),
        )
        self._blob, self._content, self._table = named, content, table
        return blob

    @property
    def blob(self) -> str:
        """The digest of the masked blob.

        Raises:
            OutOfOrder: nothing was masked yet.
        """
        return _needed(self._blob, "mask")

    @property
    def content(self) -> str:
        """The digest of the vector under the mask, and of the table; it stays in the hospital.

        Raises:
            OutOfOrder: nothing was masked yet.
        """
        return _needed(self._content, "mask")

    def masked_message(self, *, ledger_head: str) -> bytes:
        """Returns the signed name of the blob, with the table and the ledger's head after SENT.

        Raises:
            MessageRefused: another head was signed before.
            ValueError: the head is not 64 hexadecimal digits.
        """
        masked = Masked(blob=self.blob, ledger_head=ledger_head, table=self._table)
        require_forms(masked)
        message = self._sign(masked)
        self._once("masked-message", digest(message))
        return message

    def confirm(self, survivors: bytes) -> bytes:
        """Returns this silo's one signature on who is in the round.

        Raises:
            MessageRefused: U3 is too small, not inside U2, lacks this silo or
                its blob, or another U3 was signed before.
            DrawSpent: this draw was revealed among other sites.
        """
        blob, senders = self.blob, _needed(self._senders, "share")
        request = self._from_coordinator(survivors, SurvivorList).blobs
        self._require("U3", request, within=senders)
        if request[self.site] != blob:
            raise MessageRefused("U3 names another blob than the one this silo sent")
        sites = tuple(sorted(request))
        if self._among not in (None, digest_json(list(sites))):
            raise DrawSpent("this draw was revealed among other sites: it needs a new one")
        statement = Consistency(
            adverts=_needed(self._adverts, "share").digest,
            senders=self._senders_digest,
            survivors=digest_of_blobs(request),
        )
        self._once("consistency", digest_json(to_json(statement)))
        self._survivors = _Survivors(sites=sites, statement=statement)
        return self._sign(statement)

    def reveal(self, signatures: bytes) -> bytes:
        """Returns the shares that unmask the sum; the shares are dropped then.

        Raises:
            MessageRefused: fewer than t members of U3 have signed exactly what
                this silo signed, a signature is not its member's, or this draw
                was revealed among other sites.
        """
        survivors = _needed(self._survivors, "confirm")
        request = self._from_coordinator(signatures, SignatureList).signatures
        for site, wire in request.items():
            if site not in survivors.sites:
                raise MessageRefused(f"site {site} signed but is not in U3")
            if self._from_site(site, wire, Consistency) != survivors.statement:
                raise MessageRefused(f"site {site} signed another U1, U2 or U3")
        if len(request) < self.context.threshold:
            raise MessageRefused(
                f"{len(request)} signatures on U3, {self.context.threshold} are needed"
            )
        if self._revealed is None:
            revealed = self._sign(_shares_to_reveal(self._openings, survivors.sites))
            self._guard.record(
                (self.context.digest, "reveal", digest(revealed)),
                (self.context.run_id, self.context.draw_slot("survivors"), survivors.digest),
            )
            self._revealed, self._openings = revealed, {}
        return self._revealed

    @property
    def revealed_among(self) -> str | None:
        """The digest of the sites among which this draw was revealed; None before it was."""
        if self._revealed is None or self._survivors is None:
            return self._among
        return self._survivors.digest

    def _opened(self, owner: str, wire: bytes, entry: bytes, adverts: _Adverts) -> Openings:
        """Returns the checked openings that one owner made for this silo."""
        header = self._from_site(owner, wire, ShareHeader)
        if header.adverts != adverts.digest:
            raise MessageRefused(f"site {owner}: it used other adverts")
        named = pieces(header.entries, HASH_BYTES, len(adverts.places))
        if named[adverts.places[self.site]].hex() != digest(entry):
            raise MessageRefused(f"site {owner}: its entry is not the one it signed")
        dealt = _needed(self._dealt, "share")
        if owner == self.site:
            return dealt.own
        key = dealt.receive_keys[owner]
        with self._blaming(owner):  # only now: what came before, the coordinator may have swapped
            return open_entry(entry, key, self.context, owner=owner, holder=self.site)

    def _require(self, name: str, found: Collection[str], *, within: Collection[str]) -> None:
        unknown = sorted(set(found) - set(within))
        if unknown:
            raise MessageRefused(f"{name} names {unknown[0]}, which was not in the step before")
        if self.site not in found:
            raise MessageRefused(f"{name} leaves this silo out")
        if len(found) < self._least:
            raise MessageRefused(f"{name} has {len(found)} sites, {self._least} are needed")

    @contextmanager
    def _naming(self, site: str) -> Iterator[None]:
        try:
            yield
        except MessageRefused as error:
            raise MessageRefused(f"site {site}: {error}") from error

    @contextmanager
    def _blaming(self, site: str) -> Iterator[None]:
        try:
            with self._naming(site):
                yield
        except MessageRefused:
            self._culprit = site
            raise

    def _once(self, slot: str, named: str) -> None:
        self._guard.record((self.context.digest, slot, named))

    def _sign(self, message: Message) -> bytes:
        return sign_message(message, context=self.context.digest, sender=self.site, key=self._key)

    def _from_coordinator(self, wire: bytes, kind: type[M]) -> M:
        origin = Origin(sender=COORDINATOR, public=self._coordinator, context=self.context.digest)
        return open_message(wire, kind, origin)

    def _from_site(self, site: str, wire: bytes, kind: type[M]) -> M:
        origin = Origin(sender=site, public=self._publics[site], context=self.context.digest)
        return open_message(wire, kind, origin)


def content_digest(vector: str, table: tuple[int, ...]) -> str:
    """Returns one name for what a silo gives in a draw: its vector, by digest, and its table."""
    return digest_json({"vector": vector, "table": list(table)}) if table else vector


def _shares_to_reveal(openings: Mapping[str, Openings], survivors: Collection[str]) -> Reveal:
    """Returns exactly one of the two shares for every sender."""
    inside = [part.self_share for site, part in sorted(openings.items()) if site in survivors]
    lost = [part.pair_share for site, part in sorted(openings.items()) if site not in survivors]
    return Reveal(
        self_shares=b"".join(opening.to_bytes() for opening in inside),
        pair_shares=b"".join(opening.to_bytes() for opening in lost),
    )


def _require_distinct_keys(adverts: Mapping[str, Advertise]) -> None:
    publics = [key for a in adverts.values() for key in (a.mask_public, a.share_public)]
    if len(set(publics)) != len(publics):
        raise MessageRefused("two adverts hold the same public key")


def _needed(value: T | None, step: str) -> T:
    if value is None:
        raise OutOfOrder(f"{step} comes first")
    return value
