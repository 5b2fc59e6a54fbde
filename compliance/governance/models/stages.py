"""Stages of a model's versions: candidate, canary, production, retired; and who served which.

Rules:

1. A line of versions is its history: events in the order of the log. Stages, aliases and what a
   hospital serves at a time follow from it and are kept nowhere else.
2. At most one version is in production, and at most one is a canary. A hospital that a canary names
   serves the canary, every other one the version in production.
3. A version reaches production through a canary. It leaves it when another one arrives, when it is
   retired, or by a roll-back to the version before it.
4. A roll-back always succeeds where there is a version to go back to: one that is being tried again
   as a canary is in production from then on, and no canary.
5. A retired version returns to no stage: whoever wants it again registers it anew.
6. What a hospital stated that it served (``serving.py``) is an event that moves no version.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import takewhile

from protocol.errors import PolicyRefused


class Stage(StrEnum):
    """A stage of a version."""

    CANDIDATE = "candidate"
    CANARY = "canary"
    PRODUCTION = "production"
    RETIRED = "retired"


class EventKind(StrEnum):
    """A kind of event in the history of a version."""

    REGISTERED = "registered"
    CANARY_BEGUN = "canary-begun"
    CANARY_EVALUATED = "canary-evaluated"
    CANARY_ENDED = "canary-ended"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"
    RETIRED = "retired"
    NAMED = "named"
    SERVED_STATED = "served-stated"


@dataclass(frozen=True, kw_only=True)
class StageEvent:
    """One event of a line.

    Attributes:
        kind: what happened.
        version: the digest of the snapshot that it happened to; of a roll-back, of the version that
            left production.
        time: when, as the log says it (RFC 3339, UTC).
        sites: the hospitals of a canary that began, sorted; of ``SERVED_STATED`` the hospital whose
            statement of serving was taken.
        alias: the name that was given, of ``NAMED``.
        by: who did it; empty where the coordinator did, by a rule, and where nobody is registered.
        reason: why, in words.
    """

    kind: EventKind
    version: str
    time: str
    sites: tuple[str, ...] = ()
    alias: str = ""
    by: str = ""
    reason: str = ""

    @property
    def is_by_rule(self) -> bool:
        """Whether the coordinator did it by itself, by what the model's thresholds say."""
        is_regression = self.reason.startswith("regression:")
        ended = self.kind is EventKind.CANARY_ENDED and is_regression
        return not self.by and (ended or self.kind is EventKind.CANARY_EVALUATED)


@dataclass(frozen=True, kw_only=True)
class LineState:
    """A line as it stands after some of its events.

    ``production`` and ``canary`` are versions, None where none is in that stage; ``before`` are the
    versions that were in production earlier and may be again, the last one last. ``reference`` is
    the version that others are compared with: the one in production, or where that was retired
    without another in its place, still that one.
    """

    stages: Mapping[str, Stage] = field(default_factory=dict)
    production: str | None = None
    canary: str | None = None
    canary_sites: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    reference: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)

    def served_at(self, site: str) -> str | None:
        """Returns the version that a hospital serves; None where none is in production."""
        return self.canary if site in self.canary_sites else self.production

    def after(self, event: StageEvent) -> "LineState":
        """Returns the state after one more event.

        Raises:
            PolicyRefused: the event does not follow from this state; says what would.
        """
        return _FOLLOWS[event.kind](self, event)

    def require(self, version: str, *stages: Stage) -> None:
        """Refuses a version that is in none of the stages.

        Raises:
            PolicyRefused: it is in another stage, or not registered.
        """
        found = self.stages.get(version)
        if found is None:
            raise PolicyRefused(f"model {version[:12]} is not registered: models register")
        if found not in stages:
            raise PolicyRefused(
                f"model {version[:12]} is {found}: this is for a version that is "
                f"{' or '.join(stages)}"
            )


@dataclass(frozen=True, kw_only=True)
class ModelLine:
    """The versions of one model by its name, and their history in the order of the log."""

    name: str
    events: tuple[StageEvent, ...]

    @property
    def canary_since(self) -> str | None:
        """The time at which the canary began; None where no version is one."""
        begun = [one.time for one in self.events if one.kind is EventKind.CANARY_BEGUN]
        return begun[-1] if self.state.canary is not None else None

    @property
    def canary_ended_by_rule(self) -> StageEvent | None:
        """The end of the line's last canary, where the coordinator ended it as a regression.

        None where a person ended it, another canary has begun since, or its version was retired.
        """
        moved = (EventKind.CANARY_BEGUN, EventKind.CANARY_ENDED, EventKind.PROMOTED)
        last = next((one for one in reversed(self.events) if one.kind in moved), None)
        if last is None or last.kind is not EventKind.CANARY_ENDED or not last.is_by_rule:
            return None
        return None if self.state.stages[last.version] is Stage.RETIRED else last

    def regression_of(self, version: str) -> StageEvent | None:
        """Returns the end of a version's canary as worse than what is still compared with.

        None where it was never ended so, or another version is in production since. Who tries such
        a version again and again waits for an evaluation whose noise flatters it.
        """
        found, reference = None, None
        for place, event in enumerate(self.events):
            if (
                event.version == version
                and event.is_by_rule
                and event.kind is EventKind.CANARY_ENDED
            ):
                found, reference = event, _state_after(self.events[:place]).reference
        return found if reference == self.state.reference else None

    @cached_property
    def state(self) -> LineState:
        """The state after all events."""
        return _state_after(self.events)

    def at(self, time: str) -> LineState:
        """Returns the state at a time; an event of just that time has happened.

        Events are taken in the order of the log up to the first later one: where a clock was set
        back, what stands behind a later event has not happened yet.
        """
        return _state_after(takewhile(lambda event: event.time <= time, self.events))

    def with_event(self, event: StageEvent) -> "ModelLine":
        """Returns the line with one more event.

        Raises:
            PolicyRefused: it does not follow.
        """
        self.state.after(event)
        return ModelLine(name=self.name, events=(*self.events, event))


def _state_after(events: Iterable[StageEvent]) -> LineState:
    state = LineState()
    for event in events:
        state = state.after(event)
    return state


def _registered(state: LineState, event: StageEvent) -> LineState:
    if state.stages.get(event.version, Stage.RETIRED) is not Stage.RETIRED:
        raise PolicyRefused(f"model {event.version[:12]} is registered already")
    return replace(state, stages={**state.stages, event.version: Stage.CANDIDATE})


def _canary_begun(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.CANDIDATE)
    if state.canary is not None:
        raise PolicyRefused(
            f"model {state.canary[:12]} is the canary: one at a time (models end-canary)"
        )
    if not event.sites or list(event.sites) != sorted(set(event.sites)):
        raise PolicyRefused("a canary names its hospitals, each once")
    return replace(
        state,
        stages={**state.stages, event.version: Stage.CANARY},
        canary=event.version,
        canary_sites=event.sites,
    )


def _canary_ended(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.CANARY)
    stages = {**state.stages, event.version: Stage.CANDIDATE}
    return replace(state, stages=stages, canary=None, canary_sites=())


def _canary_evaluated(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.CANARY)
    return state


def _promoted(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.CANARY)
    stages = {**state.stages, event.version: Stage.PRODUCTION}
    before = state.before
    if state.production is not None:
        stages[state.production] = Stage.CANDIDATE
        before = (*before, state.production)
    return replace(
        state,
        stages=stages,
        production=event.version,
        reference=event.version,
        canary=None,
        canary_sites=(),
        before=before,
    )


def _rolled_back(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.PRODUCTION)
    if not state.before:
        raise PolicyRefused(
            f"model {event.version[:12]} is the first in production: there is none to go back to; "
            "models retire takes it out of use"
        )
    *earlier, back = state.before
    is_canary = back == state.canary
    return replace(
        state,
        stages={**state.stages, event.version: Stage.CANDIDATE, back: Stage.PRODUCTION},
        production=back,
        reference=back,
        canary=None if is_canary else state.canary,
        canary_sites=() if is_canary else state.canary_sites,
        before=tuple(earlier),
    )


def _retired(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.CANDIDATE, Stage.CANARY, Stage.PRODUCTION)
    is_canary = state.canary == event.version
    return replace(
        state,
        stages={**state.stages, event.version: Stage.RETIRED},
        production=None if state.production == event.version else state.production,
        canary=None if is_canary else state.canary,
        canary_sites=() if is_canary else state.canary_sites,
        before=tuple(one for one in state.before if one != event.version),
        aliases={a: version for a, version in state.aliases.items() if version != event.version},
    )


def _named(state: LineState, event: StageEvent) -> LineState:
    state.require(event.version, Stage.CANDIDATE, Stage.CANARY, Stage.PRODUCTION)
    if not event.alias or event.alias in set(Stage):
        raise PolicyRefused("an alias is a name of its own, and no stage")
    return replace(state, aliases={**state.aliases, event.alias: event.version})


def _served_stated(state: LineState, event: StageEvent) -> LineState:
    if len(event.sites) != 1 or event.version not in state.stages:
        raise PolicyRefused("a statement of serving is one hospital's, about versions of the model")
    return state


_FOLLOWS = {
    EventKind.REGISTERED: _registered,
    EventKind.CANARY_BEGUN: _canary_begun,
    EventKind.CANARY_EVALUATED: _canary_evaluated,
    EventKind.CANARY_ENDED: _canary_ended,
    EventKind.PROMOTED: _promoted,
    EventKind.ROLLED_BACK: _rolled_back,
    EventKind.RETIRED: _retired,
    EventKind.NAMED: _named,
    EventKind.SERVED_STATED: _served_stated,
}
