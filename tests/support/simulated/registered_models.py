"""A register of models over two finished runs, whose tests change copies of one folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from compliance.estimates.interval import Interval
from compliance.governance.models.gates import GateFacts, GateRules
from compliance.governance.models.stages import ModelLine, Stage
from compliance.storage.clock import utc_now
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.register import ChecksRows, ModelRegister
from coordinator.governance.models.snapshots import signed_snapshot_of
from coordinator.governance.operations import Operations
from coordinator.rounds.ending.gate_facts import gate_facts
from protocol.transport.snapshot import SignedSnapshot
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.federation import Federation
from tests.support.simulated.red_team_findings import keep_findings
from tests.support.simulated.studies import small_study

HEART = ("model", "heart")
#: Without a red team, whose attacks have tests of their own.
RULES = json.dumps(GateRules(red_team=False, margin=1.0, canary_evaluation=False).to_json())


def _with_figures(
    session: Session, signed: SignedSnapshot, production: SignedSnapshot | None, line: ModelLine
) -> GateFacts:
    """Returns a run's facts, with figures that so few patients would not have."""
    figure = Interval(value=0.8, low=0.75, high=0.85)
    facts = gate_facts(session, signed, production, line)
    return replace(facts, headline=figure, production=None if production is None else figure)


def run_twice(folder: Path, addresses: Callable[[str], str | None] = lambda name: None) -> Path:
    """Runs a small study twice; returns the coordinator's folder."""
    federation = Federation(folder, small_study(), addresses=addresses)
    federation.run()
    federation.run_id = "run-2"
    federation.invitation = federation.invitation_of("run-2")
    federation.run()
    federation.close()
    return federation.workspace.root


class Register:
    """A consortium's folder with people, over two runs whose models can be registered.

    ``check`` looks at its rows before gates are judged.
    """

    def __init__(self, out: Path, check: ChecksRows = lambda session: None) -> None:
        self.workspace = Workspace.open(out)
        self.store, key = Store(self.workspace.database), self.workspace.signing_key()
        models = ModelRegister(self.store, key, utc_now, _with_figures, check)
        self.people = People(Operations(self.store, key, models=models))
        self.people.found()
        self.first, self.second = (self._digest(run) for run in ("run-1", "run-2"))

    def _digest(self, run: str) -> str:
        with self.store.read() as session:
            signed = signed_snapshot_of(session, run)
        assert signed is not None
        return signed.snapshot.digest

    def act(self, action: str, name: str = CLEO, **details: object) -> dict[str, object]:
        return self.people.act(name, f"model.{action}", HEART, details)

    def to_canary(self, version: str, *sites: str) -> None:
        self.act("register", version=version, rules=RULES)
        self.act("canary", version=version, sites=sites or ("east", "north"))

    def to_production(self, version: str) -> None:
        self.to_canary(version)
        change = self.act("promote", version=version)["change"]
        self.people.confirm(BEA, change)

    def attacked(self, run: str, found: dict[str, object]) -> None:
        """Keeps with a run what a red team found."""
        keep_findings(self.store, self.workspace.signing_key(), run, found)

    @property
    def stages(self) -> dict[str, Stage]:
        with self.store.read() as session:
            return dict(line_of(session, "heart").state.stages)
