"""Accounts of people over a coordinator's folder: cheap to derive, under a clock of the test's."""

from dataclasses import dataclass, field
from pathlib import Path

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.one_time_codes import STEP_SECONDS, code_at
from compliance.governance.access.sealed_key import Derive, SealingCost, derive
from coordinator.governance.accounts import AccountFolder, AccountRegister
from coordinator.governance.operations import Operations
from coordinator.runs.sign_in import SignedInPerson, SignIn, new_account
from tests.support.hospital.consortium_home import Clock, ConsortiumHome
from tests.support.hospital.people import ADA, BEA, People

CHEAP = SealingCost(memory_kib=8, passes=1, lanes=1)
PASSWORD = "a horse that nobody rides"  # noqa: S105  (of a test)
#: A data scientist, who may not look at people's acts.
DAN = "Dan Scientist"


@dataclass
class Accounts:
    """A coordinator's folder with people and their accounts; no service runs over it."""

    root: Path
    derived: list[SealingCost] = field(default_factory=list)
    one_time: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = ConsortiumHome(self.root)
        self.clock: Clock = home.clock
        register = AccountRegister(home.store, home.key, AccountFolder(self.root), self.clock)
        over = Operations(home.store, home.key, clock=self.clock, accounts=register)
        self.people = People(over, self.clock)
        self.people.found()
        self.people.add(DAN, "data-scientist", second=BEA)
        home.store.close()
        self.sign_in = SignIn(self.root, self.clock, CHEAP, self.count)

    @property
    def count(self) -> Derive:
        """A derivation that notes what it costs."""

        def counted(password: bytes, salt: bytes, cost: SealingCost) -> bytes:
            self.derived.append(cost)
            return derive(password, salt, cost)

        return counted

    def set(self, name: str, password: str = PASSWORD, cost: SealingCost = CHEAP) -> None:
        """Sets a person's account."""
        key = self.people.key(name)
        _, self.one_time[name] = new_account(self.root, key, password, self.clock, cost)

    def link(self, name: str, identity: LinkedIdentity) -> None:
        """Links an identity at a provider to a person, by two people."""
        said = {"issuer": identity.issuer, "subject": identity.subject}
        said["key"] = self.people.key(name).public.hex()
        told = self.people.act(ADA, "account.link", ("person", name), said)
        self.people.confirm(BEA, told["change"])

    def code(self, name: str) -> str:
        """Returns the code that a person's application shows now."""
        return code_at(self.one_time[name], self.clock())

    def fresh_code(self, name: str) -> str:
        """Returns the next code, half a minute later."""
        self.clock.move(seconds=STEP_SECONDS)
        return self.code(name)

    def log_in(self, name: str = ADA, password: str = PASSWORD, code: str = "") -> SignedInPerson:
        """Logs a person in, with a fresh code unless one is given."""
        return self.sign_in.log_in(name, password, code or self.fresh_code(name), "s-1")
