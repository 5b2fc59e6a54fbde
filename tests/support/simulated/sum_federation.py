"""A whole secure sum in memory, over the real state machines: sites may drop out, lie, repeat.

``run`` carries every message as the coordinator's runner would: a refused site
has dropped out of the step. ``tamper`` hooks stand for whoever is dishonest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from protocol.errors import FederationError, MessageRefused
from protocol.identity.roster import COORDINATOR, Member, Roster, SigningKey
from protocol.secagg.client import MIN_PARTICIPANTS, Binding, SecAggClient
from protocol.secagg.context import RoundContext
from protocol.secagg.masking import ring_dtype
from protocol.secagg.messages import M, Message, Origin, open_message, sign_message
from protocol.secagg.server import SecAggServer, Step
from protocol.vectors.keystream import RingVector
from tests.support.hospital.rosters import roster_with
from tests.support.simulated.contexts import context_of, site_names

LEDGER_HEAD = "9" * 64
FIRST = "site-00"
STEPS = tuple(Step)

#: (step, site, message, blob) in, message and blob out.
Tamper = Callable[[Step, str, bytes, bytes | None], tuple[bytes, bytes | None]]


class MemoryGuard:
    """An ``EquivocationGuard`` that lives as long as the test."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def record(self, *bindings: Binding) -> None:
        for context, slot, digest in bindings:
            if self.entries.get((context, slot), digest) != digest:
                raise MessageRefused(f"{slot} was done differently before in this context")
        self.entries |= {(context, slot): digest for context, slot, digest in bindings}


def roster_of(keys: Mapping[str, SigningKey]) -> Roster:
    """Returns the roster of these sites."""
    return roster_with(
        tuple(Member(site=site, public_key=keys[site].public.hex()) for site in keys)
    )


@dataclass
class Federation:
    """Sites, a coordinator, and one context."""

    count: int
    changes: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sites = site_names(self.count)
        self.keys = {site: SigningKey.generate() for site in self.sites}
        self.coordinator_key = SigningKey.generate()
        self.roster = roster_of(self.keys)
        self.guards = {site: MemoryGuard() for site in self.sites}
        self.begin()

    def begin(self, **changes: object) -> None:
        """Opens a context, with the same identities and books."""
        self.context: RoundContext = context_of(
            self.count, **({"roster_digest": self.roster.digest} | self.changes | changes)
        )
        self.silos = {site: self.silo(site) for site in self.sites}
        self.coordinator = SecAggServer(
            context=self.context, roster=self.roster, key=self.coordinator_key
        )
        self.blobs: dict[str, bytes] = {}
        self.refusals: dict[str, str] = {}

    def silo(self, site: str, *, min_sites: int = MIN_PARTICIPANTS) -> SecAggClient:
        """Returns a new state machine for a site, as after a restart."""
        return SecAggClient(
            context=self.context,
            site=site,
            key=self.keys[site],
            roster=self.roster,
            coordinator_public=self.coordinator_key.public,
            guard=self.guards[site],
            min_sites=min_sites,
        )

    def vectors(self, seed: int = 0) -> dict[str, RingVector]:
        """Returns random vectors as honest sites send them, none longer than the bound."""
        generator = np.random.default_rng(seed)
        words, dim = ring_dtype(self.context), self.context.dim
        most = int(float(self.context.bound) * 2**self.context.frac_bits / dim**0.5)
        return {
            site: generator.integers(-most, most, dim, endpoint=True).astype(words)
            for site in self.sites
        }

    def answer(
        self, step: Step, site: str, request: bytes, vector: RingVector
    ) -> tuple[bytes, bytes | None]:
        """Returns what an honest silo answers to a step."""
        silo = self.silos[site]
        if step is Step.MASKED:
            silo.accept_shares(request, self.entries(site))
            blob = self.blobs[site] = bytes(silo.mask(vector.copy()))
            return silo.masked_message(ledger_head=LEDGER_HEAD), blob
        if step is Step.SHARE:
            return silo.share(request)
        act = {
            Step.ADVERTISE: lambda _: silo.advertise(),
            Step.CONSISTENCY: silo.confirm,
            Step.UNMASK: silo.reveal,
        }
        return act[step](request), None

    def entries(self, site: str = FIRST) -> bytes:
        """Returns what the coordinator delivers to a site beside U2."""
        return self.coordinator.attachment(Step.MASKED, site) or b""

    def play(
        self,
        step: Step,
        vectors: Mapping[str, RingVector],
        *,
        absent: frozenset[str] = frozenset(),
        tamper: Tamper | None = None,
    ) -> None:
        """Carries one step: requests out, answers in, closed."""
        for site in self.coordinator.asked(step):
            if site in absent:
                continue
            try:
                message, blob = self.answer(
                    step, site, self.coordinator.request(step, site), vectors[site]
                )
                if tamper is not None:
                    message, blob = tamper(step, site, message, blob)
                self.coordinator.receive(step, site, message, blob)
            except FederationError as error:
                self.refusals[site] = str(error)
        self.coordinator.close(step)

    def run(
        self,
        vectors: Mapping[str, RingVector],
        *,
        lost: Mapping[str, Step] | None = None,
        tamper: Tamper | None = None,
    ) -> RingVector:
        """Returns the sum; ``lost`` says from which step on a site is silent."""
        silent = lost or {}
        for place, step in enumerate(STEPS):
            absent = frozenset(s for s, at in silent.items() if STEPS.index(at) <= place)
            self.play(step, vectors, absent=absent, tamper=tamper)
        return self.coordinator.total()

    def run_until(self, last: Step, vectors: Mapping[str, RingVector]) -> None:
        """Plays the steps before ``last``, everybody honest and present."""
        for step in STEPS[: STEPS.index(last)]:
            self.play(step, vectors)

    def from_coordinator(self, message: Message) -> bytes:
        """Returns a message that the coordinator signs, whatever it says."""
        return self._signed(message, COORDINATOR, self.coordinator_key)

    def from_site(self, site: str, message: Message) -> bytes:
        """Returns a message that a site signs, whatever it says."""
        return self._signed(message, site, self.keys[site])

    def request(self, step: Step) -> bytes:
        """Returns what the coordinator asks of the first site."""
        return self.coordinator.request(step, FIRST)

    def opened_request(self, step: Step, kind: type[M]) -> M:
        """Returns what the coordinator asks of the first site, decoded."""
        return self.opened(self.request(step), kind, COORDINATOR, self.coordinator_key)

    def opened_answer(self, wire: bytes, kind: type[M], site: str) -> M:
        """Returns a site's answer, decoded."""
        return self.opened(wire, kind, site, self.keys[site])

    def opened(self, wire: bytes, kind: type[M], sender: str, key: SigningKey) -> M:
        """Returns a message of this context, decoded."""
        origin = Origin(sender=sender, public=key.public, context=self.context.digest)
        return open_message(wire, kind, origin)

    def _signed(self, message: Message, sender: str, key: SigningKey) -> bytes:
        return sign_message(message, context=self.context.digest, sender=sender, key=key)


def reached(step: Step, count: int = 5, **changes: object) -> Federation:
    """Returns a federation in which everybody has answered all steps before this one."""
    federation = Federation(count, changes)
    federation.run_until(step, federation.vectors())
    return federation
