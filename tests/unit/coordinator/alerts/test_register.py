"""An alert is raised once while its cause lasts, closes with it, and keeps who took note of it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.alerts.facts import AlertFacts
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister, Settled
from coordinator.alerts.rules import AlertRules
from coordinator.audit.verification import verify_records
from coordinator.database.alert_tables import AlertRow
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.alerts import Alert, alerts_in
from protocol.errors import PolicyRefused, StoreBroken
from tests.support.hospital.consortium_home import Clock
from tests.support.simulated.alert_facts import (
    CALM,
    EVERYTHING,
    NOW,
    RULES,
    only,
    reading,
    share,
)
from tests.support.simulated.output_folder import change


class Kept:
    """A register over a new folder."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace.create(folder)
        self.store, self.clock = Store(self.workspace.database), Clock()
        self.register = AlertRegister(self.store, self.workspace.signing_key(), self.clock)

    def settle(
        self, facts: AlertFacts, rules: AlertRules = RULES, **told: tuple[str, ...]
    ) -> Settled:
        self.clock.move(minutes=1)
        return self.register.settle(judged(facts, rules), rules.told | told)

    def alerts(self, *, closed: bool = True) -> tuple[Alert, ...]:
        with self.store.read() as session:
            return alerts_in(session, closed=closed)

    def verify(self) -> None:
        with self.store.read() as session:
            verify_records(session, self.workspace.public_key())


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    found = Kept(tmp_path / "home")
    with closing(found.store):
        yield found


def test_two_long_subjects_that_begin_alike_are_two_alerts_each_told_whole(kept: Kept) -> None:
    watched = ["x" * 300 + end for end in ("one", "two")]
    drift = tuple(replace(reading(1, flagged=True), watched=name) for name in watched)
    assert kept.settle(replace(CALM, drift=drift)).raised == (1, 2)
    told = [alert.to_json()["subject"] for alert in reversed(kept.alerts())]
    assert told == [f"heart/{name}" for name in watched]
    assert kept.settle(replace(CALM, drift=drift[:1])).closed == (2,)
    kept.verify()


LOW = replace(CALM, shares=(share("north", 0.9), share("south", 0.1)))


def test_an_alert_is_raised_once_while_its_cause_lasts(kept: Kept) -> None:
    assert kept.settle(LOW) == Settled(raised=(1,), closed=())
    before = kept.alerts()
    assert kept.settle(replace(LOW, shares=(share("north", 0.93),))) == Settled(
        raised=(), closed=()
    )
    assert kept.alerts() == before


def test_it_closes_when_its_cause_ends_and_is_raised_anew_when_that_is_back(kept: Kept) -> None:
    kept.settle(LOW)
    assert kept.settle(CALM) == Settled(raised=(), closed=(1,))
    assert kept.alerts(closed=False) == ()
    (closed,) = kept.alerts()
    assert closed.state == "closed" and closed.closed_at is not None
    assert kept.settle(LOW) == Settled(raised=(2,), closed=())


def test_what_was_not_looked_at_stays_as_it_is(kept: Kept) -> None:
    kept.settle(LOW)
    assert kept.settle(AlertFacts(now=NOW)) == Settled(raised=(), closed=())


def test_an_alert_of_a_rule_that_was_taken_out_is_closed(kept: Kept) -> None:
    kept.settle(LOW)
    assert kept.settle(LOW, only("roster")).closed == (1,)


def test_every_subject_has_an_alert_of_its_own(kept: Kept) -> None:
    raised = kept.settle(EVERYTHING).raised
    assert len(raised) == len(judged(EVERYTHING, RULES).causes) > 10


def test_an_acknowledgement_names_a_person_is_kept_and_closes_nothing(kept: Kept) -> None:
    kept.settle(LOW)
    kept.clock.move(hours=1)
    kept.register.acknowledge(1, " Dr. A. Lead ", "asked north\nabout it")
    (found,) = kept.alerts()
    assert (found.state, found.acknowledged_by) == ("acknowledged", "Dr. A. Lead")
    assert found.note == "asked north\nabout it"
    kept.settle(CALM)
    (found,) = kept.alerts()
    assert (found.state, found.acknowledged_by) == ("closed", "Dr. A. Lead")


@pytest.mark.parametrize("by", ["", "   ", "a" * 101, "a\nb", "a\x1b[31m"])
def test_an_acknowledgement_without_a_name_is_refused(kept: Kept, by: str) -> None:
    kept.settle(LOW)
    with pytest.raises(PolicyRefused, match="--by names the person"):
        kept.register.acknowledge(1, by)
    assert kept.alerts()[0].state == "open"


def test_an_alert_is_acknowledged_once_and_must_exist(kept: Kept) -> None:
    kept.settle(LOW)
    with pytest.raises(PolicyRefused, match="there is no alert 7"):
        kept.register.acknowledge(7, "Dr. A. Lead")
    kept.register.acknowledge(1, "Dr. A. Lead")
    with pytest.raises(PolicyRefused, match="Dr. A. Lead acknowledged alert 1"):
        kept.register.acknowledge(1, "Dr. B. Other")
    with pytest.raises(PolicyRefused, match="--note is plain text"):
        kept.register.acknowledge(1, "Dr. A. Lead", "x" * 1001)


def test_every_write_of_an_alert_is_in_the_log_and_a_change_of_one_is_found(kept: Kept) -> None:
    kept.settle(LOW, **{"budget-low": ("on-call",)})
    kept.register.acknowledge(1, "Dr. A. Lead")
    kept.settle(CALM, **{"budget-low": ("on-call",)})
    kept.verify()
    assert [m.event for m in kept.alerts()[0].messages] == ["raised", "closed"]
    change(kept.workspace.root, "UPDATE alert SET acknowledged_by = 'Dr. B. Other'")
    with pytest.raises(StoreBroken, match="its alert record is not what was logged"):
        kept.verify()


def test_a_message_that_was_taken_out_is_found(kept: Kept) -> None:
    kept.settle(LOW, **{"budget-low": ("on-call",)})
    change(kept.workspace.root, "DELETE FROM alert_message")
    with pytest.raises(StoreBroken, match="one was removed"):
        kept.verify()


def test_two_looks_at_once_raise_one_alert(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds the first's alert within its own transaction."""
    kept.settle(LOW)
    monkeypatch.setattr(AlertRegister, "_is_settled", lambda *_: False)
    assert kept.settle(LOW) == Settled(raised=(), closed=())
    with kept.store.read() as session:
        assert session.query(AlertRow).count() == 1
