"""The page Models shows the register and takes steps of a version as signed acts."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from compliance.governance.models.gates import GateRules
from compliance.storage.clock import timestamp
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.serving import serving_payload
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.views.views import Views, open_views
from protocol.encoding import digest
from protocol.identity.roster import SigningKey
from protocol.transport.serving_statement import ServedPeriod, ServingStatement, sign_serving
from silos.database.database import open_hospital
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.output_folder import make_folder
from tests.support.simulated.shown_page import sentences, show

HEART = ("model", "heart")


def state_other_version(out: Path, store: Store, people: People) -> None:
    """Has east state that it serves the candidate."""
    with store.read() as session:
        other = signed_snapshot(session, "run-2").snapshot.digest
        since = line_of(session, "heart").events[-1].time
    with closing(open_hospital(out / "silos" / "east" / "hospital.db", site="east")) as east:
        key = SigningKey.from_bytes(east.identity_key)
    now = timestamp()
    period = ServedPeriod(snapshot=other, use="service", since=since, until=now, end="running")
    said = ServingStatement(
        coordinator=Workspace.open(out).public_key().hex(), site="east", number=1, since=since,
        until=now, periods=(period,), head="0" * 64,
    )  # fmt: skip
    data = sign_serving(said, key).to_bytes()
    details = {"statement": digest(data)}
    east_itself = ("hospital", "east")
    people.act(CLEO, "model.confirm-served", east_itself, details, serving_payload(data))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with people and two runs: one's model in production, one's a candidate."""
    out = make_folder(tmp_path_factory.mktemp("register"))
    workspace = Workspace.open(out)
    store = Store(workspace.database)
    people = People.over(store, workspace.signing_key())
    people.found()
    rules = json.dumps(GateRules(red_team=False, margin=1.0, canary_evaluation=False).to_json())
    for run in ("run-1", "run-2"):
        people.act(CLEO, "model.register", HEART, {"version": run, "rules": rules})
    people.act(CLEO, "model.canary", HEART, {"version": "run-1", "sites": ("east",)})
    people.together(CLEO, BEA, "model.promote", HEART, version="run-1")
    state_other_version(out, store, people)
    store.close()
    return out


@pytest.fixture
def views(folder: Path) -> Iterator[Views]:
    """Yields the views of the folder."""
    opened = open_views(folder)
    yield opened
    opened.close()


def test_each_version_has_its_stage_figure_price_and_signatures(views: Views) -> None:
    page = show(views, "models")
    shown = page.dataframe[0].value.set_index("Run")
    assert dict(shown["Stage"]) == {"run-1": "production", "run-2": "candidate"}
    assert set(shown["Signed by"]) == {"4 / 4"}
    assert all(cell.startswith("AUROC") for cell in shown["How good"])
    assert set(shown["Cost to one patient"]) == {"ε = 4"}


def test_gates_history_and_who_serves_what_stand_in_tables(views: Views) -> None:
    page = show(views, "models")
    tables = [table.value.reset_index() for table in page.table]
    gates, attacks, serving, history = tables
    assert set(attacks["Found"]) == {"—"}
    assert set(attacks["About it"]) == {"no red team has attacked this run"}
    assert set(gates["Result"]) == {"passed"}
    assert list(serving["Hospital"]) == ["east", "north", "south", "west"]
    assert len(set(serving["Is to serve"])) == 1
    assert list(serving["Stated"])[1:] == ["not stated"] * 3
    (line,) = views.models()
    (found,) = line.disagreements
    assert list(serving["Stated"])[0].startswith(found.stated[:12])
    assert [one.value for one in page.warning if "stated that it served" in one.value][
        0
    ].startswith(f"east stated that it served {found.stated[:12]} from ")
    assert list(history["Event"]) == [
        "statement of serving\\: east", "promoted", "canary begun\\: east", "registered",
        "registered",
    ]  # fmt: skip
    assert list(history["By"][:2]) == [CLEO, BEA]


def test_steps_that_are_possible_are_offered_and_no_others(views: Views) -> None:
    page = show(views, "models")
    labels = [one.label for one in page.expander]
    assert labels == ["Begin a canary", "Retire a version"]
    assert "collegium models canary heart SNAPSHOT --site HOSPITAL" in page.code[0].value


def test_an_empty_register_says_how_a_model_is_registered(tmp_path: Path) -> None:
    opened = open_views(make_folder(tmp_path))
    page = show(opened, "models")
    assert "No model is registered yet." in sentences(page)
    assert [one.label for one in page.expander] == ["Register a snapshot"]
    opened.close()
