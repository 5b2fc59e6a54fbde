"""Versions of a model move between stages by their history alone."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.governance.models.stages import EventKind, ModelLine, Stage, StageEvent
from protocol.errors import PolicyRefused

FIRST, SECOND, THIRD = "a" * 64, "b" * 64, "c" * 64
SITES = ("lyon", "oslo")
EMPTY = ModelLine(name="heart", events=())


def _event(kind: EventKind, version: str, hour: int, **more: object) -> StageEvent:
    time = f"2026-03-{1 + hour // 24:02d}T{hour % 24:02d}:00:00.000Z"
    return StageEvent(kind=kind, version=version, time=time, **more)  # type: ignore[arg-type]


def _to_production(line: ModelLine, version: str, hour: int) -> ModelLine:
    for step, kind in enumerate((EventKind.REGISTERED, EventKind.CANARY_BEGUN, EventKind.PROMOTED)):
        sites = SITES if kind is EventKind.CANARY_BEGUN else ()
        line = line.with_event(_event(kind, version, hour + step, sites=sites))
    return line


def test_a_version_reaches_production_through_a_canary_alone() -> None:
    line = EMPTY.with_event(_event(EventKind.REGISTERED, FIRST, 0))
    with pytest.raises(PolicyRefused, match="is candidate: this is for a version that is canary"):
        line.with_event(_event(EventKind.PROMOTED, FIRST, 1))
    assert _to_production(EMPTY, FIRST, 0).state.production == FIRST


def test_a_canary_is_served_at_its_hospitals_and_production_at_the_others() -> None:
    line = _to_production(EMPTY, FIRST, 0)
    line = line.with_event(_event(EventKind.REGISTERED, SECOND, 10))
    line = line.with_event(_event(EventKind.CANARY_BEGUN, SECOND, 11, sites=("oslo",)))
    assert [line.state.served_at(site) for site in ("lyon", "oslo")] == [FIRST, SECOND]
    ended = line.with_event(_event(EventKind.CANARY_ENDED, SECOND, 12, reason="regression"))
    assert [ended.state.served_at(site) for site in ("lyon", "oslo")] == [FIRST, FIRST]


def test_which_version_was_served_at_a_time_is_what_the_history_said_then() -> None:
    line = _to_production(_to_production(EMPTY, FIRST, 0), SECOND, 30)
    served = [line.at(f"2026-03-0{day}T12:00:00.000Z").served_at("oslo") for day in (1, 2)]
    assert served == [FIRST, SECOND]
    assert line.at("2026-02-28T00:00:00.000Z").served_at("oslo") is None
    assert line.at(line.events[-1].time).production == SECOND


def test_where_a_clock_was_set_back_what_stands_behind_a_later_event_has_not_happened() -> None:
    line = _to_production(EMPTY, FIRST, 10)
    line = line.with_event(_event(EventKind.RETIRED, FIRST, 2))
    assert line.at("2026-03-01T02:30:00.000Z").stages == {}
    assert line.at("2026-03-01T23:00:00.000Z").stages[FIRST] is Stage.RETIRED


def test_a_roll_back_returns_to_the_version_before_and_the_first_has_none() -> None:
    line = _to_production(_to_production(EMPTY, FIRST, 0), SECOND, 30)
    back = line.with_event(_event(EventKind.ROLLED_BACK, SECOND, 50))
    assert back.state.production == FIRST
    assert back.state.stages[SECOND] is Stage.CANDIDATE
    with pytest.raises(PolicyRefused, match="there is none to go back to"):
        back.with_event(_event(EventKind.ROLLED_BACK, FIRST, 51))


def test_a_retired_version_serves_nobody_has_no_alias_and_is_not_gone_back_to() -> None:
    line = _to_production(_to_production(EMPTY, FIRST, 0), SECOND, 30)
    line = line.with_event(_event(EventKind.NAMED, FIRST, 40, alias="last-good"))
    line = line.with_event(_event(EventKind.RETIRED, FIRST, 41))
    assert line.state.before == () and line.state.aliases == {}
    line = line.with_event(_event(EventKind.RETIRED, SECOND, 42))
    assert line.state.production is None and line.state.served_at("oslo") is None


def test_a_roll_back_to_the_version_that_is_the_canary_again_ends_the_canary() -> None:
    line = _to_production(_to_production(EMPTY, FIRST, 0), SECOND, 30)
    line = line.with_event(_event(EventKind.CANARY_BEGUN, FIRST, 40, sites=("oslo",)))
    back = line.with_event(_event(EventKind.ROLLED_BACK, SECOND, 41)).state
    assert (back.production, back.canary, back.canary_sites) == (FIRST, None, ())
    assert back.served_at("oslo") == FIRST


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([_event(EventKind.CANARY_BEGUN, FIRST, 0, sites=SITES)], "is not registered"),
        ([_event(EventKind.REGISTERED, FIRST, hour) for hour in (0, 1)], "registered already"),
        (
            [
                _event(EventKind.REGISTERED, FIRST, 0),
                _event(EventKind.CANARY_BEGUN, FIRST, 1, sites=("oslo", "lyon")),
            ],
            "names its hospitals, each once",
        ),
        (
            [
                _event(EventKind.REGISTERED, FIRST, 0),
                _event(EventKind.REGISTERED, SECOND, 1),
                _event(EventKind.CANARY_BEGUN, FIRST, 2, sites=SITES),
                _event(EventKind.CANARY_BEGUN, SECOND, 3, sites=SITES),
            ],
            "one at a time",
        ),
        (
            [
                _event(EventKind.REGISTERED, FIRST, 0),
                _event(EventKind.NAMED, FIRST, 1, alias="production"),
            ],
            "no stage",
        ),
    ],
)
def test_what_does_not_follow_is_refused_with_a_reason(events: list[StageEvent], told: str) -> None:
    line = EMPTY
    with pytest.raises(PolicyRefused, match=told):
        for event in events:
            line = line.with_event(event)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(EventKind)),
            st.sampled_from((FIRST, SECOND, THIRD)),
            st.sampled_from((("lyon",), SITES)),
        ),
        max_size=40,
    )
)
def test_whatever_happens_at_most_one_version_is_in_production_and_one_a_canary(
    wished: list[tuple[EventKind, str, tuple[str, ...]]],
) -> None:
    line, hours = EMPTY, count()
    for kind, version, sites in wished:
        event = _event(kind, version, next(hours), sites=sites, alias="newest")
        try:
            line = line.with_event(event)
        except PolicyRefused:
            continue
        state, stages = line.state, list(line.state.stages.values())
        assert stages.count(Stage.PRODUCTION) == (state.production is not None)
        assert stages.count(Stage.CANARY) == (state.canary is not None)
        assert bool(state.canary_sites) == (state.canary is not None)
        retired = {name for name, stage in state.stages.items() if stage is Stage.RETIRED}
        assert not retired & {state.production, state.canary, *state.before}
        assert not retired & set(state.aliases.values())
        assert line.at(event.time) == state


def test_an_evaluation_of_a_canary_changes_no_stage_and_is_of_a_canary_alone() -> None:
    line = _to_production(EMPTY, FIRST, 0).with_event(_event(EventKind.REGISTERED, SECOND, 10))
    with pytest.raises(PolicyRefused, match="is candidate"):
        line.with_event(_event(EventKind.CANARY_EVALUATED, SECOND, 11))
    assert line.canary_since is None
    begun = line.with_event(_event(EventKind.CANARY_BEGUN, SECOND, 11, sites=SITES))
    after = begun.with_event(_event(EventKind.CANARY_EVALUATED, SECOND, 12))
    assert after.state == begun.state
    assert after.canary_since == begun.events[-1].time


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        (EventKind.CANARY_ENDED, {"reason": "regression: 0.7 and 0.8"}, True),
        (EventKind.CANARY_EVALUATED, {"reason": "not worse"}, True),
        (EventKind.CANARY_ENDED, {"reason": "regression: 0.7", "by": "Cleo"}, False),
        (EventKind.CANARY_ENDED, {"reason": "a complaint"}, False),
        (EventKind.PROMOTED, {}, False),
    ],
)
def test_an_event_without_a_person_is_the_coordinators_only_where_a_rule_decides(
    kind: EventKind, more: dict[str, str], expected: bool
) -> None:
    assert _event(kind, "v1", 1, **more).is_by_rule is expected
