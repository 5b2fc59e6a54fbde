"""Taking note of an alert is one act: signed, checked, and kept by the service itself."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from compliance.governance.acts import ActRequest
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister
from coordinator.audit.verification import verify_records
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.errors import PolicyRefused
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.alert_facts import CALM, RULES, share


@pytest.fixture
def people(folder: Path) -> Iterator[People]:
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        key = workspace.signing_key()
        low = replace(CALM, shares=(share("north", 0.9),))
        AlertRegister(store, key).settle(judged(low, RULES), RULES.told)
        yield People.over(store, key)


def noted(folder: Path) -> tuple[str | None, str | None]:
    with closing(open_views(folder)) as views:
        alert = views.alert(1)
    return alert.acknowledged_by, alert.note


def test_one_act_keeps_who_took_note_and_the_folder_verifies(people: People, folder: Path) -> None:
    people.found()
    told = people.act(CLEO, "alert.acknowledge", ("alert", "1"), {"note": "asked north"})
    assert (told["alert"], told["by"], told["person"]) == (1, CLEO, CLEO)
    assert noted(folder) == (CLEO, "asked north")
    workspace = Workspace.open(folder)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        assert verify_records(session, workspace.public_key()).acts > 0


def test_nobody_takes_note_in_the_name_of_another(people: People, folder: Path) -> None:
    people.found()
    people.act(CLEO, "alert.acknowledge", ("alert", "1"), {"note": "", "by": BEA})
    assert noted(folder) == (CLEO, None)


def test_while_the_consortium_is_founding_the_one_who_is_named_took_note(
    people: People, folder: Path
) -> None:
    request = ActRequest(
        action="alert.acknowledge", subject_kind="alert", subject="1", details={"by": "Dr. New"}
    )
    told = people.operations.perform({"request": request.to_json()})
    assert told["person"] is None and noted(folder) == ("Dr. New", None)


@pytest.mark.parametrize("number", ["7", "one", "1" * 12])
def test_an_alert_that_is_not_there_is_refused_and_the_act_has_failed(
    people: People, folder: Path, number: str
) -> None:
    people.found()
    with pytest.raises(PolicyRefused, match=f"there is no alert {number}"):
        people.act(CLEO, "alert.acknowledge", ("alert", number))
    with closing(open_views(folder)) as views:
        assert views.acts(person=CLEO)[-1].outcome == "failed"
    assert noted(folder) == (None, None)
