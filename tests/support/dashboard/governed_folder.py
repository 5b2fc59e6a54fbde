"""A coordinator's folder after a real run, with people who have accounts, and matters that wait."""

import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from compliance.governance.access.one_time_codes import STEP_SECONDS, code_at
from compliance.storage.clock import utc_now
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.runs.sign_in import new_account
from protocol.identity.roster import SigningKey
from tests.support.hospital.accounts import DAN, PASSWORD
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.simulated.alert_facts import CALM, RULES, share

#: An auditor; and somebody whom a waiting change would add, with the title of an open drill.
EVE, NEW, DRILL = "Eve Auditor", "Dr. Nora Newcomer", "a laptop was left in a train"


@dataclass
class GovernedFolder:
    """A folder with one person in each role, each with an account.

    A change waits for a second person, a drill is open, and so is an alert.
    """

    home: Path
    people: People = field(init=False)
    one_time: dict[str, bytes] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        workspace = Workspace.open(self.home)
        key = workspace.signing_key()
        with closing(Store(workspace.database)) as store:
            self.people = People.over(store, key)
            self.people.found_first()
            self.people.add(BEA, "compliance-officer")
            self.people.add(CLEO, "lead", second=BEA)
            self.people.add(DAN, "data-scientist", second=BEA)
            self.people.add(EVE, "auditor", second=BEA)
            said = {"key": SigningKey.generate().public.hex(), "roles": ("auditor",)}
            self.change = self.people.act(ADA, "person.add", ("person", NEW), said)["change"]
            drill = {"kind": "lost-key", "severity": "low", "drill": True}
            self.people.act(BEA, "incident.open", ("incident", DRILL), drill)
            low = replace(CALM, shares=(share("north", 0.9),))
            AlertRegister(store, key).settle(judged(low, RULES), RULES.told)
        for name in (ADA, BEA, CLEO, DAN, EVE):
            _, self.one_time[name] = new_account(self.home, self.people.key(name), PASSWORD)

    def code(self, name: str) -> str:
        """Returns a code of a person that was not used before; waits for it if it must."""
        now = int(utc_now().timestamp()) // STEP_SECONDS
        # The server takes the step before and after its own; not the one before, which may end.
        step = max(now, self._used.get(name, 0) + 1)
        while step > int(utc_now().timestamp()) // STEP_SECONDS + 1:
            time.sleep(0.2)
        self._used[name] = step
        return self.code_of(name, step)

    def code_of(self, name: str, step: int) -> str:
        """Returns a person's code of one step."""
        at = utc_now().fromtimestamp(step * STEP_SECONDS, tz=utc_now().tzinfo)
        return code_at(self.one_time[name], at)

    def newest_step(self, name: str) -> int:
        """Returns the step of the code that a person had last."""
        return self._used[name]
