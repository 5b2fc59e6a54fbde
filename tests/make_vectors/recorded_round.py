"""A whole secure sum from recorded secrets: the same bytes on every machine, each of them kept.

What a silo draws at random is played back from its ``Secrets``, so that the
real state machines run. ``Recorded`` is one round as its vector file holds it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.identity.roster import Roster, SigningKey, parse_roster
from protocol.secagg import encrypted_shares as sealed_shares
from protocol.secagg.client import SecAggClient, opened_round
from protocol.secagg.context import RoundContext
from protocol.secagg.masking import ring_dtype
from protocol.secagg.secret_sharing import PRIME, SHARE_BYTES
from protocol.secagg.server import SecAggServer, Step
from protocol.vectors.keystream import Keystream, RingVector, derive_key
from tests.support.simulated.sum_federation import LEDGER_HEAD, MemoryGuard

#: A message and what travels beside it.
Pair: TypeAlias = tuple[bytes, bytes | None]
Document: TypeAlias = Mapping[str, Any]
Tamper: TypeAlias = Callable[[Step, "RecordedSilo"], None]


def wire_json(wire: bytes) -> dict[str, str]:
    """Returns a signed message as vectors hold it: the signature, and the JSON as text."""
    return {"signature": wire[:64].hex(), "text": wire[64:].decode()}


def wire_bytes(value: Mapping[str, str]) -> bytes:
    """Returns the bytes of a signed message; the inverse of ``wire_json``, or bare ``hex``."""
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return bytes.fromhex(value["signature"]) + value["text"].encode()


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that one site draws at random in one context."""

    identity: bytes
    pair_secret: bytes
    self_secret: bytes
    share_private: bytes
    self_coefficients: tuple[bytes, ...]
    pair_coefficients: tuple[bytes, ...]
    self_salts: Mapping[str, bytes]
    pair_salts: Mapping[str, bytes]

    @classmethod
    def drawn(cls, seed: str, site: str, holders: Sequence[str], threshold: int) -> "Secrets":
        """Returns secrets that follow from a seed; fit for vectors and for nothing else."""
        stream = Keystream(derive_key(seed.encode(), salt=b"collegium/vectors", info=site.encode()))

        def element() -> bytes:
            value = int.from_bytes(stream.bytes(80), "big") % PRIME
            return value.to_bytes(SHARE_BYTES, "big")

        return cls(
            identity=stream.bytes(32),
            pair_secret=stream.bytes(32),
            self_secret=stream.bytes(32),
            share_private=stream.bytes(32),
            self_coefficients=tuple(element() for _ in range(threshold - 1)),
            pair_coefficients=tuple(element() for _ in range(threshold - 1)),
            self_salts={holder: stream.bytes(32) for holder in holders},
            pair_salts={holder: stream.bytes(32) for holder in holders},
        )

    @classmethod
    def from_json(cls, value: Document) -> "Secrets":
        """Returns the secrets that a vector holds; the inverse of ``to_json``."""
        read = {name: _read(entry) for name, entry in value.items()}
        return cls(**read)

    def to_json(self) -> dict[str, Any]:
        """Returns the secrets as a vector holds them."""
        return {name: _written(value) for name, value in vars(self).items()}

    @contextmanager
    def played(self) -> Iterator[None]:
        """Lets the protocol draw these secrets, in the order in which it draws."""
        keys = iter((self.pair_secret, self.self_secret))
        elements = iter((*self.self_coefficients, *self.pair_coefficients))
        salts = iter(
            salt
            for holder in self.self_salts
            for salt in (self.self_salts[holder], self.pair_salts[holder])
        )
        generator = SimpleNamespace(
            randbelow=lambda _: int.from_bytes(next(elements), "big"),
            token_bytes=lambda _: next(salts),
        )
        share_key = X25519PrivateKey.from_private_bytes(self.share_private)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sealed_shares, "fresh_key", lambda: next(keys))
            patch.setattr(sealed_shares, "secrets", generator)
            patch.setattr(
                sealed_shares, "X25519PrivateKey", SimpleNamespace(generate=lambda: share_key)
            )
            yield


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One step: what all were asked, what each was sent beside it, and what each answered."""

    request: bytes
    beside: Mapping[str, bytes]
    answers: Mapping[str, Pair]

    @classmethod
    def from_json(cls, value: Document) -> "Exchange":
        """Returns the step that a vector holds; the inverse of ``to_json``."""
        return cls(
            request=wire_bytes(value["request"]),
            beside={site: bytes.fromhex(data) for site, data in value["beside"].items()},
            answers={site: answer_pair(answer) for site, answer in value["answers"].items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the step as a vector holds it."""
        return {
            "request": wire_json(self.request),
            "beside": {site: data.hex() for site, data in self.beside.items()},
            "answers": {
                site: {"message": wire_json(message), "beside": blob.hex() if blob else None}
                for site, (message, blob) in self.answers.items()
            },
        }


def answer_pair(value: Document) -> Pair:
    """Returns an answer as vectors hold it: the message, and what travels beside it."""
    return wire_bytes(value["message"]), bytes.fromhex(value["beside"]) if value["beside"] else None


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Who takes part with which secrets and vectors, and who is silent from which step on."""

    coordinator: SigningKey
    roster: Roster
    context: RoundContext
    secrets: Mapping[str, Secrets]
    vectors: Mapping[str, RingVector]
    tables: Mapping[str, tuple[int, ...]]
    lost: Mapping[str, Step]

    @classmethod
    def from_json(cls, value: Document) -> "Recorded":
        """Returns the round that a vector file records; its steps are not read here."""
        context = RoundContext.from_json(value["context"])
        words = ring_dtype(context)
        return cls(
            coordinator=SigningKey.from_bytes(bytes.fromhex(value["coordinator"]["private"])),
            roster=parse_roster(value["roster"].encode()),
            context=context,
            secrets={s: Secrets.from_json(site["secrets"]) for s, site in value["sites"].items()},
            vectors={
                s: np.frombuffer(bytes.fromhex(site["vector"]), words)
                for s, site in value["sites"].items()
            },
            tables={s: tuple(site["table"]) for s, site in value["sites"].items()},
            lost={site: Step(step) for site, step in value["lost"].items()},
        )

    def key(self, site: str) -> SigningKey:
        """Returns a site's identity key."""
        return SigningKey.from_bytes(self.secrets[site].identity)

    def silo(self, site: str) -> "RecordedSilo":
        """Returns a site that has not been asked anything yet."""
        return RecordedSilo(self, site)

    def sum_round(self) -> SecAggServer:
        """Returns the coordinator's state machine."""
        return SecAggServer(context=self.context, roster=self.roster, key=self.coordinator)

    def is_silent(self, step: Step, site: str) -> bool:
        """Whether a site is lost by this step."""
        steps = tuple(Step)
        return site in self.lost and steps.index(self.lost[site]) <= steps.index(step)

    def played(self, tamper: Tamper | None = None) -> tuple[dict[Step, Exchange], SecAggServer]:
        """Returns every byte of the round, and the coordinator, whose last step is still open.

        Args:
            tamper: may spoil a site's state before it answers a step.
        """
        silos = {site: self.silo(site) for site in self.context.participants}
        machine = self.sum_round()
        exchanges: dict[Step, Exchange] = {}
        for step in Step:
            if exchanges:
                machine.close(tuple(exchanges)[-1])
            asked = machine.asked(step)
            request = machine.request(step, asked[0])
            delivered = {site: machine.attachment(step, site) for site in asked}
            answers = {}
            for site in asked:
                if self.is_silent(step, site):
                    continue
                if tamper is not None:
                    tamper(step, silos[site])
                answers[site] = silos[site].answer(step, request, delivered[site])
                machine.receive(step, site, *answers[site])
            beside = {site: data for site, data in delivered.items() if data is not None}
            exchanges[step] = Exchange(request=request, beside=beside, answers=answers)
        return exchanges, machine


class RecordedSilo:
    """One site of a recorded round: requests in, the real state machine's answers out."""

    def __init__(self, recorded: Recorded, site: str) -> None:
        self._recorded, self.site = recorded, site
        self.guard = MemoryGuard()
        self.machine: SecAggClient | None = None

    def answer(self, step: Step, request: bytes, beside: bytes | None) -> Pair:
        """Returns what the site answers to a request; refusals come through as they are."""
        if step is Step.ADVERTISE:
            return self._advertise(request), None
        machine = self.machine or self._made(self._recorded.context)
        if step is Step.SHARE:
            with self._recorded.secrets[self.site].played():
                return machine.share(request)
        if step is Step.MASKED:
            machine.accept_shares(request, beside or b"")
            vector, table = self._recorded.vectors[self.site], self._recorded.tables[self.site]
            blob = bytes(machine.mask(vector.copy(), table=table))
            return machine.masked_message(ledger_head=LEDGER_HEAD), blob
        if step is Step.CONSISTENCY:
            return machine.confirm(request), None
        return machine.reveal(request), None

    def _advertise(self, request: bytes) -> bytes:
        context = opened_round(request, self._recorded.coordinator.public).context
        if self.machine is None or self.machine.context != context:
            self.machine = self._made(context)
        with self._recorded.secrets[self.site].played():
            return self.machine.advertise()

    def _made(self, context: RoundContext) -> SecAggClient:
        return SecAggClient(
            context=context,
            site=self.site,
            key=self._recorded.key(self.site),
            roster=self._recorded.roster,
            coordinator_public=self._recorded.coordinator.public,
            guard=self.guard,
        )


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: bytes.fromhex(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return tuple(bytes.fromhex(entry) for entry in value)
    return bytes.fromhex(value)


def _written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: entry.hex() for name, entry in value.items()}
    return [entry.hex() for entry in value] if isinstance(value, tuple) else value.hex()
