"""The whole life of a register of models in PostgreSQL: every kind of event, a log that holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collegium.models.served import prove_served
from collegium.verification.proofs import verify_proof
from compliance.estimates.interval import Interval
from compliance.governance.models.comparison import CanaryFigures
from compliance.governance.models.stages import EventKind, Stage
from coordinator.audit.verification import verify_records
from coordinator.database.store import ManifestRow, SnapshotRow
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.governance.models.tables import ModelEventRow, ModelLineRow, SignedSnapshotRow
from protocol.errors import PolicyRefused
from tests.support.hospital.people import BEA, CLEO
from tests.support.machine.postgres import Server
from tests.unit.coordinator.governance.models.test_serving import Stating

GOOD = Interval(value=0.8, low=0.79, high=0.81)
#: Worse by more than its interval, and less than the margin of these tests.
BAD = Interval(value=0.7, low=0.69, high=0.71)


@pytest.fixture
def desk(postgres: Server, tmp_path: Path) -> Iterator[Stating]:
    """Yields a consortium in PostgreSQL with one version in production; hospitals have files."""

    def address(name: str) -> str | None:
        return postgres.new_schema() if name == "consortium" else None

    made = Stating(tmp_path, address)
    yield made
    made.register.store.close()


def test_a_register_lives_through_every_kind_of_event_and_its_log_verifies(
    desk: Stating, tmp_path: Path
) -> None:
    register, store = desk.register, desk.register.store
    first, second, models = register.first, register.second, register.people.operations.models

    def followed(figure: Interval) -> EventKind | None:
        found = CanaryFigures(
            version=second, sites=("east", "north"), canary=figure, production=GOOD, compares=True
        )
        event = models.follow("heart", found, figure="AUROC")
        return None if event is None else event.kind

    register.to_canary(second)
    assert followed(GOOD) is EventKind.CANARY_EVALUATED
    assert followed(Interval(value=None, low=None, high=None, note="too few")) is None
    register.act("end-canary", version=second, reason="other hospitals try it")
    assert register.stages[second] is Stage.CANDIDATE
    register.act("canary", version=second, sites=("west",))
    register.people.confirm(BEA, register.act("promote", version=second)["change"])
    promoted = desk.now()
    register.act("name", version=second, alias="newest")
    told = desk.take(desk.statement(second, since=promoted), BEA)
    assert told["models"] == ["heart"]
    register.act("roll-back", BEA, reason="complaints")
    assert register.stages == {first: Stage.PRODUCTION, second: Stage.CANDIDATE}
    later = desk.statement(second, number=2, since=desk.now(), until=desk.now())
    desk.take(later)
    register.act("canary", version=second, sites=("east", "north"))
    assert followed(BAD) is EventKind.CANARY_ENDED
    with pytest.raises(PolicyRefused, match="ended by itself"):
        register.act("canary", version=second, sites=("east",))
    register.act("retire", version=second, reason="superseded")
    with pytest.raises(PolicyRefused, match="is retired"):
        register.act("canary", version=second, sites=("east",))

    proof = tmp_path / "served.tlog-proof"
    out = register.workspace.root
    found = prove_served(out, "heart", "east", promoted, proof)
    assert (found["version"], found["since"]["kind"]) == (second, "promoted")
    assert found["stated"]["agrees"] is True
    public = register.workspace.public_key()
    assert verify_proof(proof, public=public)["index"] == found["entry"]

    with store.read() as session:
        line = line_of(session, "heart")
        assert {event.kind for event in line.events} == set(EventKind)
        assert line.state.production == first and signed_snapshot(session, "run-2").signatures
        kept = {
            table: session.scalar(select(func.count()).select_from(table))
            for table in (SignedSnapshotRow, ModelLineRow, ManifestRow, SnapshotRow)
        }
        assert kept[ModelLineRow] == 1 and kept[SignedSnapshotRow] == kept[ManifestRow] == 2
        assert session.scalar(select(func.count()).select_from(ModelEventRow)) == len(line.events)
        verified = verify_records(session, public)
    assert verified.runs == ("run-1", "run-2") and verified.acts > 0
    assert CLEO in {event.by for event in line.events}
