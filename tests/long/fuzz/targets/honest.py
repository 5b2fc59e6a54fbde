"""Honest inputs, made by whole runs whose secrets follow from one number."""

import copy
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.identity.roster import SigningKey
from protocol.secagg import encrypted_shares as sealed_shares
from protocol.secagg.client import SecAggClient
from protocol.secagg.server import SecAggServer, Step
from protocol.vectors.keystream import RingVector
from tests.support.simulated.sum_federation import FIRST, STEPS, Federation, MemoryGuard

#: The site that deals shares and sends no vector, so that a reveal holds shares of both kinds.
LOST = "site-04"
#: The site whose keys the coordinator has as well.
LIAR = "site-01"
_SITES = 5


class _Numbers:
    """Stands in for the operating system's generator: an input can then be made again."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def token_bytes(self, count: int | None = None) -> bytes:
        return self._random.randbytes(32 if count is None else count)

    def randbelow(self, most: int) -> int:
        return self._random.randrange(most)

    def signing_key(self) -> SigningKey:
        return SigningKey.from_bytes(self._random.randbytes(32))

    def generate(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self._random.randbytes(32))


@contextmanager
def row_independent(seed: int = 0) -> Iterator[None]:
    """Makes every secret of a run follow from a number."""
    numbers = _Numbers(seed)
    with (
        patch.object(secrets, "token_bytes", numbers.token_bytes),
        patch.object(secrets, "randbelow", numbers.randbelow),
        patch.object(SigningKey, "generate", numbers.signing_key),
        patch.object(sealed_shares, "X25519PrivateKey", numbers),
    ):
        yield


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One whole run: every request, every answer with its blob, and the sum."""

    federation: Federation
    vectors: Mapping[str, RingVector]
    requests: Mapping[Step, bytes]
    entries: bytes
    answers: Mapping[tuple[Step, str], tuple[bytes, bytes | None]]
    total: RingVector

    def machine(self, step: Step, *, without: str | None = None) -> SecAggServer:
        """Returns a coordinator that has taken all answers up to this step, one site's left out."""
        federation = self.federation
        machine = SecAggServer(
            context=federation.context, roster=federation.roster, key=federation.coordinator_key
        )
        for current in STEPS[: STEPS.index(step) + 1]:
            for (answered, site), (wire, blob) in self.answers.items():
                if answered is current and not (current is step and site == without):
                    machine.receive(current, site, wire, blob)
            if current is not step:
                machine.close(current)
        return machine

    def finished(self, machine: SecAggServer, step: Step) -> RingVector:
        """Returns the sum after the honest answers to the steps after this one."""
        machine.close(step)
        for current in STEPS[STEPS.index(step) + 1 :]:
            for (answered, site), (wire, blob) in self.answers.items():
                if answered is current:
                    machine.receive(current, site, wire, blob)
            machine.close(current)
        return machine.total()


@lru_cache(maxsize=1)
def recorded() -> Recorded:
    """Returns one honest run of five sites, of which one is lost before it sends its vector."""
    answers: dict[tuple[Step, str], tuple[bytes, bytes | None]] = {}
    requests: dict[Step, bytes] = {}
    entries = b""

    def keep(step: Step, site: str, wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        nonlocal entries
        answers[step, site] = wire, blob
        if site == FIRST:
            requests[step] = federation.request(step)
            entries = entries or federation.coordinator.attachment(step, site) or b""
        return wire, blob

    with row_independent():
        federation = Federation(_SITES)
        vectors = federation.vectors()
        total = federation.run(vectors, lost={LOST: Step.MASKED}, tamper=keep)
    return Recorded(
        federation=federation,
        vectors=vectors,
        requests=requests,
        entries=entries,
        answers=answers,
        total=total,
    )


@lru_cache(maxsize=len(STEPS))
def waiting_silo(step: Step) -> SecAggClient:
    """Returns the first site of the recorded run, as it waits for this step's request."""
    with row_independent():
        federation = Federation(_SITES)
        vectors = federation.vectors()
        silent = frozenset({LOST})
        for current in STEPS[: STEPS.index(step)]:
            late = STEPS.index(current) >= STEPS.index(Step.MASKED)
            federation.play(current, vectors, absent=silent if late else frozenset())
    return federation.silos[FIRST]


def replica_of(silo: SecAggClient) -> SecAggClient:
    """Returns a silo in the same state, with a book of its own.

    A silo replaces what it holds and changes none of it in place, so a shallow
    copy is a whole one.
    """
    replica, guard = copy.copy(silo), MemoryGuard()
    guard.entries |= vars(silo)["_guard"].entries
    vars(replica)["_guard"] = guard
    return replica
