"""People of a consortium with their keys, who act on its database or on the running service."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from compliance.governance.acts import ActRequest
from compliance.governance.people import FIRST_POLICY
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.register import ModelRegister
from coordinator.governance.operations import Operations
from coordinator.rounds.ending.gate_facts import gate_facts
from coordinator.runs.person_acts import signed_request
from protocol.encoding import canonical
from protocol.identity.roster import SigningKey

ADA, BEA, CLEO = "Dr. Ada Admin", "Dr. Bea Officer", "Cleo Lead"


@dataclass
class People:
    """The people of one consortium, by name; ``found`` registers three, in four roles."""

    operations: Operations
    clock: Clock = utc_now
    keys: dict[str, SigningKey] = field(default_factory=dict)

    @classmethod
    def over(cls, store: Store, key: SigningKey, clock: Clock = utc_now) -> "People":
        """Returns the people of a folder over which no service runs."""
        models = ModelRegister(store, key, clock, gate_facts)
        return cls(Operations(store, key, clock=clock, models=models), clock)

    def key(self, name: str) -> SigningKey:
        """Returns a person's key, made at first."""
        return self.keys.setdefault(name, SigningKey.generate())

    def signed(self, name: str, request: ActRequest, **other: str) -> dict[str, Any]:
        """Returns an act as it travels, signed by a person; ``other`` is what the standing says."""
        standing = self.operations.governance.standing() | other
        return {"signed": signed_request(standing, request, self.key(name), self.clock)}

    def act(
        self,
        name: str,
        action: str,
        subject: tuple[str, str],
        details: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Carries out a person's act."""
        request = ActRequest(
            action=action, subject_kind=subject[0], subject=subject[1], details=details or {}
        )
        return self.operations.perform(self.signed(name, request) | {"payload": payload})

    def found(self) -> None:
        """Registers an administrator, an officer who is auditor too, and a lead."""
        self.found_first()
        self.add(BEA, "compliance-officer", "auditor")
        self.add(CLEO, "lead", second=BEA)

    def found_first(self, name: str = ADA) -> None:
        """Registers the first administrator."""
        said = {"key": self.key(name).public.hex(), "roles": ("administrator",)}
        self.act(name, "person.found", ("person", name), said)

    def add(self, name: str, *roles: str, by: str = ADA, second: str | None = None) -> None:
        """Adds a person."""
        said = {"key": self.key(name).public.hex(), "roles": roles}
        told = self.act(by, "person.add", ("person", name), said)
        if told["waits"]:
            self.confirm(second or CLEO, told["change"])

    def confirm(self, name: str, change: int) -> dict[str, Any]:
        """Confirms a change as the second person."""
        found = self.operations.change(change)
        said = {"digest": found.request.digest}
        return self.act(name, "change.confirm", ("change", str(change)), said)

    def together(
        self, first: str, second: str, action: str, subject: tuple[str, str], **details: Any
    ) -> dict[str, Any]:
        """Carries out what takes two people."""
        return self.confirm(second, self.act(first, action, subject, details)["change"])

    def change_policy(self, version: int, **changed: object) -> None:
        """Puts another policy in force."""
        policy = replace(FIRST_POLICY, version=version, **changed)  # type: ignore[arg-type]
        text = canonical(policy.to_json()).decode()
        self.together(ADA, BEA, "policy.change", ("policy", f"version {version}"), policy=text)


@contextmanager
def people_of(folder: Path) -> Iterator[People]:
    """Yields three people, registered in a folder over which no service runs."""
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        people = People.over(store, workspace.signing_key())
        people.found()
        yield people


def write_key_file(key: SigningKey, to: Path) -> Path:
    """Writes a person's key as commands read it, for its owner alone; returns the file."""
    private = Ed25519PrivateKey.from_private_bytes(key.to_bytes())
    to.touch(mode=0o600)
    to.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return to
