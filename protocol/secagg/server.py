"""The coordinator's side of one secure sum: who is in, what was signed, and only the sum.

Five steps, each a request to some sites, their answers, and a decision who is
in (``Step``). A site that does not answer, or whose answer is refused, has
dropped out of the step; the round goes on while the threshold allows.

Rules:

1. An answer counts only with its site's signature in this context, with three
   exceptions. A header's signature is left to the silos, which check every
   header before they send anything: when they refuse, a site that signed none is
   named. Of the statements on who is in, t signatures are enough. Shares that
   open their owners' commitments prove themselves, from any sender: a
   reveal's signature is looked at when they do not.
2. A masked blob is added to one running vector as it arrives; its bytes are
   not kept here. Nothing but the sum is ever unmasked.
3. A revealed share counts only if it opens the commitment that its owner
   signed. What t shares give must match what the owner advertised.
4. A site that answered wrongly is in ``culprits``; a complaint names two, of whom one lies.
   What shows it is kept in ``accusations``.
5. A wrong mask makes the whole sum noise, and shows nowhere else: a sum longer
   than honest updates can be is refused.

Source: Bonawitz et al. 2017 (CCS), figure 4, server side.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from types import MappingProxyType

import numpy as np

from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, OutOfOrder, QuorumLost
from protocol.identity.roster import COORDINATOR, Roster, SigningKey
from protocol.secagg.client import MIN_PARTICIPANTS
from protocol.secagg.context import RoundContext
from protocol.secagg.evidence.accusation import Accusation
from protocol.secagg.evidence.witness import Witness
from protocol.secagg.log_proof import LogProof
from protocol.secagg.masking import (
    Revealed,
    Shared,
    apply_masks,
    check_reveal,
    mask_keys,
    rebuild,
    require_usable,
    ring_dtype,
)
from protocol.secagg.messages import (
    ENTRY_BYTES,
    Advertise,
    AdvertList,
    Complaint,
    Consistency,
    HeldHead,
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
    peek_type,
    pieces,
    read_unverified,
    sign_message,
    verify_message,
)
from protocol.vectors.evaluation import OWN_CELLS
from protocol.vectors.keystream import RingVector


class Step(Enum):
    """The steps of a round, in order."""

    ADVERTISE = "advertise"
    SHARE = "share"
    MASKED = "masked"
    CONSISTENCY = "consistency"
    UNMASK = "unmask"


_STEPS = (*Step, None)


class SecAggServer:
    """The state machine of the coordinator in one context.

    For each step: ``request`` for every site in ``asked``, ``receive`` what
    comes, ``close``; after the last, ``total``. Sites in ``without`` are treated
    as dropped from the start. ``own_cells`` is how many numbers each gives beside its vector
    in an evaluation (``EvaluationVector.own_cells``). ``log_proof`` gives what a site is shown
    of the log, ``own_masked`` the newest message of its own that it is shown again.

    Raises:
        MessageRefused: a participant is not in the roster, or the
            context names another roster.
    """

    def __init__(
        self,
        *,
        context: RoundContext,
        roster: Roster,
        key: SigningKey,
        min_sites: int = MIN_PARTICIPANTS,
        own_cells: int = OWN_CELLS,
        without: Collection[str] = (),
        threads: int = 1,
        log_proof: Callable[[str], LogProof | None] = lambda _site: None,
        own_masked: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        if roster.digest != context.roster_digest:
            raise MessageRefused("the context names another roster")
        self.context = context
        self._publics = {site: roster.key_of(site) for site in context.participants}
        self._key = key
        self._threads = threads
        self._own_cells = own_cells if context.round_kind == "evaluation" else 0
        self._least = max(context.threshold, min_sites, MIN_PARTICIPANTS)
        self._step: Step | None = Step.ADVERTISE
        self._asked = tuple(site for site in context.participants if site not in without)
        self._answers: dict[str, bytes] = {}  # of this step, as they came
        self._common: bytes | None = None  # this step's request, where all sites get the same
        self._witness = Witness(context=context, publics=self._publics)
        self._culprits: dict[str, str] = {}
        self._complaints: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self._asks_to_reveal = False
        #: Whether it was ended because of the round's other sums.
        self.was_ended = False
        self._adverts: dict[str, Advertise] = {}
        self._adverts_digest = ""
        self._taken: set[bytes] = set()  # every public key advertised so far
        self._holders: tuple[str, ...] = ()  # U1, sorted: the order of every bundle of entries
        self._statement: Consistency | None = None  # what every survivor has to sign
        self._signatures: dict[str, bytes] = {}  # of it, as many as the threshold
        self._headers = self._witness.headers
        self._entries = self._witness.entries
        self._senders_digest = ""
        self._blobs = self._witness.blobs
        self._ledger_heads: dict[str, str] = {}
        self._masked: dict[str, bytes] = {}
        self._tables: dict[str, tuple[int, ...]] = {}
        self._survivors: tuple[str, ...] = ()
        self._reveals: dict[str, Revealed] = {}
        self._sum: RingVector | None = None  # made when the first vector comes
        self._finished = False
        self._log_proof, self._own_masked = log_proof, dict(own_masked)
        self._take: Mapping[Step, Callable[[str, bytes, bytes | None], None]] = {
            Step.ADVERTISE: self._take_advert,
            Step.SHARE: self._take_shares,
            Step.MASKED: self._take_masked,
            Step.CONSISTENCY: self._take_consistency,
            Step.UNMASK: self._take_reveal,
        }

    @property
    def survivors(self) -> tuple[str, ...]:
        """U3: the sites whose vectors are in the sum, sorted; empty before it is known."""
        return self._survivors

    @property
    def dropped(self) -> tuple[str, ...]:
        """The participants that are not in the sum, sorted."""
        return tuple(sorted(set(self.context.participants) - set(self._survivors)))

    @property
    def blob_hashes(self) -> Mapping[str, str]:
        """The digest of every blob in the sum, by site."""
        return MappingProxyType(self._blobs)

    @property
    def ledger_heads(self) -> Mapping[str, str]:
        """The ledger head that each site signed with its blob."""
        return MappingProxyType(self._ledger_heads)

    @property
    def masked(self) -> Mapping[str, bytes]:
        """The signed ``masked`` message of each site whose blob came."""
        return MappingProxyType(self._masked)

    @property
    def tables(self) -> Mapping[str, tuple[int, ...]]:
        """The noised table that each site signed with its blob; empty ones in training."""
        return MappingProxyType(self._tables)

    @property
    def culprits(self) -> Mapping[str, str]:
        """The sites that answered wrongly, and how."""
        return MappingProxyType(self._culprits)

    @property
    def accusations(self) -> tuple[Accusation, ...]:
        """The accusations against sites that answered wrongly, and each complaint."""
        return tuple(self._witness.accusations)

    @property
    def complaints(self) -> Mapping[str, str]:
        """The site that each site accuses of shares that it could not use; one of the two lies."""
        return MappingProxyType(self._complaints)

    @property
    def refusals(self) -> Mapping[str, str]:
        """The class of the last refusal of each site that refused a step."""
        return MappingProxyType(self._refusals)

    @property
    def asks_to_reveal(self) -> bool:
        """Whether the sites were asked to reveal: their vectors' sum may be known from now on."""
        return self._asks_to_reveal

    def asked(self, step: Step) -> tuple[str, ...]:
        """Returns the sites that this step is about.

        Raises:
            OutOfOrder: it is not this step's turn.
        """
        self._require_turn(step)
        return self._asked

    def request(self, step: Step, site: str) -> bytes:
        """Returns what to send a site in this step.

        Raises:
            OutOfOrder: it is not this step's turn, or the site is not in it.
        """
        self._require_asked(step, site)
        if step is Step.ADVERTISE:
            log, own = self._log_proof(site), self._own_masked.get(site)
            return self._sign(RoundOpen(context=self.context, log=log, own=own))
        if self._common is None:
            raise OutOfOrder(f"step {step.value} has no request")
        return self._common

    def attachment(self, step: Step, site: str) -> bytes | None:
        """Returns what travels beside the request: the entries that U2 sealed for a site.

        Raises:
            OutOfOrder: it is not this step's turn, or the site is not in it.
        """
        self._require_asked(step, site)
        if step is not Step.MASKED:
            return None
        return b"".join(self._entries[owner][site] for owner in sorted(self._headers))

    def held_head(self, site: str, envelope: bytes) -> HeldHead | None:
        """Returns which head of the log a site says it holds, where its answer says that.

        Raises:
            OutOfOrder: it is not the first step's turn, or the site is not in it.
            MessageRefused: the answer is not the site's.
        """
        self._require_asked(Step.ADVERTISE, site)
        if peek_type(envelope) != HeldHead.type:
            return None
        return self._open(site, envelope, HeldHead)

    def receive(self, step: Step, site: str, envelope: bytes, blob: bytes | None = None) -> None:
        """Takes a site's answer; the same answer again changes nothing.

        Raises:
            OutOfOrder: it is not this step's turn, or the site is not in it.
            MessageRefused: the answer is wrong or a complaint; the site has
                dropped out unless a right answer comes before the step closes.
        """
        self._require_asked(step, site)
        if site in self._answers:
            if self._answers[site] != envelope:
                raise MessageRefused(f"site {site} has answered step {step.value} differently")
            return
        if step is Step.MASKED and peek_type(envelope) == Complaint.type:
            self._hear(site, envelope)
        try:
            self._take[step](site, envelope, blob)
        except OutOfOrder:
            raise
        except MessageRefused as error:
            self._accuse(site, envelope, str(error))
            raise MessageRefused(f"site {site}: {error}") from error
        self._answers[site] = envelope

    def refuse(self, step: Step, site: str, kind: str) -> None:
        """Notes that a site refused a step, by the class of its refusal: it has dropped out.

        Raises:
            OutOfOrder: it is not this step's turn, or the site is not in it.
        """
        self._require_asked(step, site)
        self._refusals[site] = kind

    def close(self, step: Step) -> None:
        """Decides who is in: no more answers to this step, on to the next.

        Raises:
            OutOfOrder: it is not this step's turn.
            QuorumLost: too few sites are left, or a site's shares cannot
                unmask the sum; the round is over, its blobs stay masked.
            SumRefused: the sum is none that honest sites can give.
        """
        self._require_turn(step)
        inside = tuple(sorted(self._answers))
        signing = step in (Step.CONSISTENCY, Step.UNMASK)
        least = self.context.threshold if signing else self._least
        self._step = None
        if len(inside) < least and step is Step.MASKED:
            self._name_forgers()
        if len(inside) < least:
            refused = "; ".join(f"{site}: {kind}" for site, kind in sorted(self._refusals.items()))
            raise QuorumLost(
                f"step {step.value}: {len(inside)} of {len(self.context.participants)} sites are "
                f"left, {least} are needed{f' ({refused})' if refused else ''}"
            )
        self._common = self._next_request(step, inside)
        self._asked, self._answers = inside, {}
        self._step = _STEPS[_STEPS.index(step) + 1]

    def end(self) -> None:
        """Ends the sum before its next requests are sent: what nobody was asked stays masked."""
        if self._step is Step.UNMASK:
            self._asks_to_reveal = False
        self._step, self.was_ended = None, True

    def total(self) -> RingVector:
        """Returns the (dim,) sum of the survivors' vectors, modulo the ring.

        Raises:
            OutOfOrder: the last step is not closed.
        """
        if not self._finished or self._sum is None:
            raise OutOfOrder("the sum is still masked")
        return self._sum

    def _next_request(self, step: Step, inside: tuple[str, ...]) -> bytes | None:
        """Fixes who is in after a step; returns what all sites are sent in the next."""
        if step is Step.ADVERTISE:
            self._holders = inside
            self._adverts_digest = digest_of_messages(self._answers)
            self._witness.adverts.update(self._answers)
            return self._sign(AdvertList(adverts=self._answers))
        if step is Step.SHARE:
            self._senders_digest = digest_of_messages(self._headers)
            return self._sign(SenderList(headers=self._headers))
        if step is Step.MASKED:
            self._survivors = inside
            self._statement = Consistency(
                adverts=self._adverts_digest,
                senders=self._senders_digest,
                survivors=digest_of_blobs(self._blobs),
            )
            return self._sign(SurvivorList(blobs=self._blobs))
        if step is Step.CONSISTENCY:
            self._asks_to_reveal = True
            self._witness.statements.update(self._answers)
            return self._sign(SignatureList(signatures=self._signatures))
        if step is Step.UNMASK:
            self._unmask()
        return None

    def _name_forgers(self) -> None:
        """Names the senders of headers that no silo can have taken, for they are not signed."""
        for site, wire in self._headers.items():
            try:
                verify_message(wire, ShareHeader, self._origin(site))
            except MessageRefused as error:
                self._accuse(site, wire, str(error))

    def _accuse(self, site: str, wire: bytes, why: str) -> None:
        """Names a site for its first wrong answer."""
        if site not in self._culprits:
            self._culprits[site] = why
            self._witness.accuse(site, wire, why)

    def _unmask(self) -> None:
        rebuilt = rebuild(self._reveals, self._shared)
        for site in rebuilt.liars:
            why = self._culprits[site] = "it dealt shares that do not give what it advertised"
            self._witness.accuse_dealer(site, self._answers, why)
        if rebuilt.liars:
            raise QuorumLost(
                f"the shares of {', '.join(rebuilt.liars)} do not unmask the sum: "
                "leave it out of the next attempt"
            )
        if self._sum is None:
            raise OutOfOrder("no vector has come")
        keys = mask_keys(rebuilt, self._shared)
        apply_masks(self._sum, add=keys.add, subtract=keys.subtract, threads=self._threads)
        self._reveals = {}
        self.context.require_sum(self._sum, len(self._survivors))
        self._finished = True

    @cached_property
    def _shared(self) -> Shared:
        """The public facts of the round; to be read only once U3 is known."""
        return Shared(
            context=self.context,
            adverts=self._adverts,
            entries=self._entries,
            survivors=self._survivors,
        )

    def _take_advert(self, site: str, wire: bytes, _blob: bytes | None) -> None:
        advert = self._open(site, wire, Advertise)
        publics = (advert.mask_public, advert.share_public)
        if len({*publics} - self._taken) != len(publics):
            raise MessageRefused("it advertises a key that is already taken")
        for public in publics:
            require_usable(public)
        self._taken.update(publics)
        self._adverts[site] = advert

    def _take_shares(self, site: str, wire: bytes, blob: bytes | None) -> None:
        header = read_unverified(wire, ShareHeader, self._origin(site))
        with self._signed(site, wire, ShareHeader):
            if header.adverts != self._adverts_digest:
                raise MessageRefused("it used other adverts")
            entries = pieces(blob or b"", ENTRY_BYTES, len(self._holders))
            if header_of(entries) != header.entries:
                raise MessageRefused("its entries are not the ones it signed")
        self._headers[site] = wire
        self._entries[site] = dict(zip(self._holders, entries, strict=True))

    def _take_masked(self, site: str, wire: bytes, blob: bytes | None) -> None:
        message = self._open(site, wire, Masked)
        size = self.context.blob_bytes
        if blob is None or len(blob) != size:
            raise MessageRefused(f"expected a blob of {size} bytes")
        if blob_digest(blob, self._threads) != message.blob:
            raise MessageRefused("its blob is not the one it signed")
        if len(message.table) != self._own_cells:
            raise MessageRefused(f"expected a table of {self._own_cells} numbers")
        vector = np.frombuffer(blob, dtype=ring_dtype(self.context))
        if self._sum is None:
            self._sum = vector.copy()
        else:
            self._sum += vector
        self._blobs[site] = message.blob
        self._ledger_heads[site] = message.ledger_head
        self._masked[site] = wire
        self._tables[site] = message.table

    def _take_consistency(self, site: str, wire: bytes, _blob: bytes | None) -> None:
        statement = read_unverified(wire, Consistency, self._origin(site))
        with self._signed(site, wire, Consistency):
            if statement != self._statement:
                raise MessageRefused("it signed another U1, U2 or U3")
        if len(self._signatures) < self.context.threshold:  # nobody is shown more of them
            verify_message(wire, Consistency, self._origin(site))
            self._signatures[site] = wire

    def _take_reveal(self, site: str, wire: bytes, _blob: bytes | None) -> None:
        reveal = read_unverified(wire, Reveal, self._origin(site))
        with self._signed(site, wire, Reveal):
            self._reveals[site] = check_reveal(reveal, site, self._shared)

    def _hear(self, site: str, wire: bytes) -> None:
        """Records whom a site accuses; the accuser itself takes no part."""
        against = self._open(site, wire, Complaint).against
        if against not in self._headers or against == site:
            raise MessageRefused(f"site {site} complains about nobody who sent it shares")
        self._complaints[site] = against
        self._witness.complain(site, against, wire)
        raise MessageRefused(f"site {site} takes no part: it complains about {against}")

    def _sign(self, message: Message) -> bytes:
        return sign_message(message, context=self.context.digest, sender=COORDINATOR, key=self._key)

    def _open(self, site: str, wire: bytes, kind: type[M]) -> M:
        return open_message(wire, kind, self._origin(site))

    @contextmanager
    def _signed(self, site: str, wire: bytes, kind: type[Message]) -> Iterator[None]:
        """Requires the sender's signature on a wrong answer before the site is named for it."""
        try:
            yield
        except MessageRefused:
            verify_message(wire, kind, self._origin(site))
            raise

    def _origin(self, site: str) -> Origin:
        return Origin(sender=site, public=self._publics[site], context=self.context.digest)

    def _require_turn(self, step: Step) -> None:
        if step is not self._step:
            now = self._step.value if self._step else "over"
            raise OutOfOrder(f"step {step.value} is not due: the round is at {now}")

    def _require_asked(self, step: Step, site: str) -> None:
        self._require_turn(step)
        if site not in self._asked:
            raise OutOfOrder(f"site {site} has no part in step {step.value}")
