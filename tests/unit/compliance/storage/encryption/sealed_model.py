"""A small model encrypted in a folder, with everybody's keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from compliance.storage.encryption.folder import WeightsFolder
from compliance.storage.encryption.opening import open_model
from compliance.storage.encryption.sealing import rewrapped, sealed
from compliance.storage.encryption.writer import WeightsDecision, WeightsOpening, WeightsWriter
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import encode_tensors, model_digest

#: Two chunks of age's 64 KiB and a piece.
MODEL = {"layer.weight": np.arange(40_000, dtype=np.float32).reshape(200, 200), "bias": np.ones(3)}
BYTES, DIGEST = encode_tensors(MODEL), model_digest(MODEL)
TIMES = [f"2026-11-29T10:00:0{second}.000Z" for second in range(10)]


@dataclass
class SealedModel:
    """Alice and Bob may open ``DIGEST`` in ``home/weights``; Eve never was a recipient."""

    home: Path
    key: SigningKey = field(default_factory=SigningKey.generate)
    people: dict[str, AgeIdentity] = field(
        default_factory=lambda: {name: AgeIdentity.generate() for name in ("Alice", "Bob", "Eve")}
    )

    def __post_init__(self) -> None:
        self.folder = WeightsFolder(self.home / "weights", {self.key.public})
        self.writer = WeightsWriter(self.folder)
        self.plain = self.home / "model.safetensors"
        self.plain.write_bytes(BYTES)

    def recipients(self, *names: str) -> list[Recipient]:
        return [Recipient(name=name, key=self.people[name].key) for name in names]

    def decision(self, at: int = 0, reason: str = "") -> WeightsDecision:
        return WeightsDecision(at=TIMES[at], key=self.key, by="Dr. Lead", reason=reason)

    def seal(self, *names: str) -> None:
        with sealed(self.writer, self.plain, self.recipients(*names)) as draft:
            self.writer.begin(draft.manifest, draft.header, self.decision())

    def rewrap(
        self, add: Sequence[str] = (), remove: Sequence[str] = (), by: str = "Alice"
    ) -> None:
        draft = rewrapped(self.folder, DIGEST, [self.people[by]], self.recipients(*add), remove)
        self.writer.rewrap(draft.manifest, draft.header, self.decision(1, "left the hospital"))

    def open(self, name: str, to: str = "plain.safetensors", at_least: int = 1) -> Path:
        identity, place = self.people[name], self.home / to

        def before() -> None:
            said = WeightsOpening(recipient=identity.key, at=TIMES[2], by=name)
            self.writer.note_opening(DIGEST, said)

        open_model(self.folder, DIGEST, identity, place, before, at_least)
        return place

    @property
    def header(self) -> Path:
        return self.folder.header_file(DIGEST)

    @property
    def payload(self) -> Path:
        return self.folder.payload_file(DIGEST)

    @property
    def record(self) -> Path:
        return self.folder.record_file(DIGEST)

    def age_file(self) -> bytes:
        return self.header.read_bytes() + self.payload.read_bytes()


def sealed_model(home: Path) -> SealedModel:
    """Returns a model that is encrypted for Alice and Bob."""
    made = SealedModel(home)
    made.seal("Alice", "Bob")
    return made
