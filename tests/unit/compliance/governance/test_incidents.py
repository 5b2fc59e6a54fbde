"""An incident goes from open to closed in order, by the clock, and never past a second person."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.governance.incidents.course import (
    Incident,
    IncidentState,
    IncidentStep,
    Measure,
    open_incident,
    read_steps,
    steps_text,
)
from compliance.governance.incidents.playbooks import PLAYBOOKS
from protocol.errors import PolicyRefused, StoreBroken
from protocol.identity.timestamps import read_time, write_time

KNOWN = "2026-01-05T08:00:00.000Z"
NOW = read_time(KNOWN) + timedelta(hours=2)
PEOPLE = ("Ada", "Bea")


def step(
    kind: str, person: str = "Ada", *, note: str = "it was done so", waits: bool = False
) -> IncidentStep:
    return IncidentStep(
        step=kind,
        at=write_time(NOW),
        person=person,
        role="lead",
        note=note,
        act="a" * 64,
        measures=(Measure(kind="stop", subject="run-1", result="done"),) if waits else (),
        confirm_by="2026-01-06T08:00:00.000Z" if waits else None,
    )


def opened(*, known: str = KNOWN, drill: bool = False) -> Incident:
    return open_incident(
        "lost-key", "a laptop is gone", "high", step("open"), drill=drill, known_at=known,
        notify_hours=72,
    )  # fmt: skip


def taken(incident: Incident, move: str, person: str) -> Incident:
    if move == "contain":
        return incident.contain(step("contain", person, waits=True))
    if move == "confirm":
        return incident.confirm(person, write_time(NOW))
    if move == "notify":
        return incident.notify(step("notify", person), NOW)
    return incident.close(step("close", person))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["contain", "confirm", "notify", "close"]), st.sampled_from(PEOPLE)
        ),
        max_size=12,
    )
)
def test_whatever_is_tried_the_order_holds_and_nothing_is_lost(
    moves: list[tuple[str, str]],
) -> None:
    incident = opened()
    for move, person in moves:
        before = incident
        try:
            incident = taken(incident, move, person)
        except PolicyRefused:
            assert incident is before
            continue
        assert before.state is not IncidentState.CLOSED or move == "confirm"
        assert len(incident.steps) >= len(before.steps)
        if incident.state is IncidentState.CLOSED and before.state is not IncidentState.CLOSED:
            assert before.state is IncidentState.NOTIFIED and not incident.unconfirmed
        for one in incident.steps:
            assert one.confirmed_by is None or one.confirmed_by != one.person
    kinds = [one.step for one in incident.steps]
    assert kinds[0] == "open"
    assert "notify" not in kinds or kinds.index("contain") < kinds.index("notify")
    assert read_steps(steps_text(incident.steps)) == incident.steps


@given(st.integers(-200, 200))
def test_the_clock_runs_from_when_it_became_known(hours: int) -> None:
    incident = opened()
    now = read_time(KNOWN) + timedelta(hours=hours)
    assert incident.hours_left(now) == 72 - hours
    told = replace(incident, state=IncidentState.NOTIFIED)
    assert told.hours_left(now) is None


def test_a_late_notification_says_why() -> None:
    incident = opened().contain(step("contain"))
    late: datetime = read_time(KNOWN) + timedelta(hours=73)
    with pytest.raises(PolicyRefused, match="is late: the note says why"):
        incident.notify(step("notify", note="sorry"), late)
    assert incident.notify(step("notify", note="nobody saw it before Monday"), late).is_told


@pytest.mark.parametrize(
    ("move", "told"),
    [
        ("notify", "not contained yet"),
        ("close", "no notification is recorded"),
        ("confirm", "no containment of this incident waits"),
    ],
)
def test_a_step_too_early_is_refused(move: str, told: str) -> None:
    with pytest.raises(PolicyRefused, match=told):
        taken(opened(), move, "Bea")


def test_a_containment_is_confirmed_by_another_before_the_incident_is_closed() -> None:
    incident = taken(taken(opened(), "contain", "Ada"), "notify", "Ada")
    with pytest.raises(PolicyRefused, match="by Ada is unconfirmed: another person"):
        taken(incident, "close", "Bea")
    with pytest.raises(PolicyRefused, match="Ada contained it: another person confirms"):
        taken(incident, "confirm", "Ada")
    closed = taken(taken(incident, "confirm", "Bea"), "close", "Ada")
    for move in ("contain", "notify", "close"):
        with pytest.raises(PolicyRefused, match="the incident is closed"):
            taken(closed, move, "Ada")


@pytest.mark.parametrize("note", ["", "  ", "x" * 2001])
def test_every_step_says_something(note: str) -> None:
    with pytest.raises(PolicyRefused, match="--note says what was done"):
        opened().contain(step("contain", note=note))


@pytest.mark.parametrize(
    ("kind", "title", "severity", "told"),
    [
        ("fire", "x", "high", "there is no kind 'fire'"),
        ("other", " ", "high", "the title says what happened"),
        ("other", "x", "awful", "the severity is one of low"),
    ],
)
def test_an_incident_is_of_a_known_kind(kind: str, title: str, severity: str, told: str) -> None:
    with pytest.raises(PolicyRefused, match=told):
        open_incident(
            kind, title, severity, step("open"), drill=False, known_at=KNOWN, notify_hours=72
        )


def test_an_incident_is_not_known_before_it_happens() -> None:
    with pytest.raises(PolicyRefused, match="became known before it is opened"):
        opened(known="2026-01-05T11:00:00.000Z")


@pytest.mark.parametrize("text", ["", "[1]", "[{}]", "{}x", '[{"measures": []}]'])
def test_damaged_steps_are_told(text: str) -> None:
    with pytest.raises(StoreBroken, match="the steps of an incident are damaged"):
        read_steps(text)


@pytest.mark.parametrize("kind", PLAYBOOKS)
def test_every_playbook_contains_first_and_closes_last(kind: str) -> None:
    steps = PLAYBOOKS[kind].steps
    assert any("incident contain" in one.command for one in steps[:2])
    assert "incident notify" in steps[-2].command and "incident close" in steps[-1].command
