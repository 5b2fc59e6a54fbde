"""Events of models: each follows from those before it, and is what the act of a person asked for.

Rules:

1. The history of a model is one that its stages allow: nothing is promoted that was no canary.
2. Since there are people, each event names the act of which it is, one event of a model for each:
   of just that step, model, version, hospitals and name, by the person and at the time of the act.
   An act that waits for a second person has none; its confirmation has.
3. The coordinator's own events are that a canary was evaluated, and that one was ended.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.models.gates import GateRules, read_rules
from compliance.governance.models.stages import EventKind, LineState
from coordinator.audit.acts.signed_acts import CARRIED_OUT, carried_out
from coordinator.audit.faults import Faults
from coordinator.governance.models.lines import line_of, rules_of
from coordinator.governance.models.tables import ModelEventRow, ModelLineRow, SignedSnapshotRow
from coordinator.governance.tables import ActRow
from protocol.encoding import digest
from protocol.errors import PolicyRefused, StoreBroken
from protocol.log.entry import LogEntry

_REGISTER, _CONFIRM = "model.register", "model.confirm-served"
_ACTIONS: Mapping[str, str] = {
    EventKind.REGISTERED: _REGISTER,
    EventKind.CANARY_BEGUN: "model.canary",
    EventKind.CANARY_ENDED: "model.end-canary",
    EventKind.PROMOTED: "model.promote",
    EventKind.ROLLED_BACK: "model.roll-back",
    EventKind.RETIRED: "model.retire",
    EventKind.NAMED: "model.name",
    EventKind.SERVED_STATED: _CONFIRM,
}
#: What the coordinator does by a rule, without an act.
_BY_RULE = frozenset({EventKind.CANARY_EVALUATED, EventKind.CANARY_ENDED})


def check_models(
    session: Session, rows: Sequence[ActRow], entries: Sequence[LogEntry], faults: Faults
) -> None:
    """Checks the history of every model, and holds its events to the acts.

    Args:
        session: reads the database.
        rows: every act.
        entries: the log's.
        faults: takes what is found wrong.
    """
    since = next((entry.time for entry in entries if entry.type == "person-added"), None)
    acts = {row.digest: row for row in rows if row.outcome in CARRIED_OUT}
    for line in session.scalars(select(ModelLineRow).order_by(ModelLineRow.name)):
        with faults.checking(f"model {line.name}"):
            _check_history(session, line.name)
        with faults.checking(f"the thresholds of model {line.name}"):
            if _needs_act(line.act, line.founded_at, since):
                _check_thresholds(session, line, acts)
    taken = Counter[tuple[str, str]]()
    for event in session.scalars(select(ModelEventRow).order_by(ModelEventRow.id)):
        place = f"event {event.id} of model {event.line}"
        with faults.checking(place):
            if not event.act and not event.by and event.kind in _BY_RULE:
                continue
            if not _needs_act(event.act, event.at, since):
                continue
            taken[event.act, event.line] += 1
            if taken[event.act, event.line] > 1:
                raise StoreBroken(f"{place} ({event.kind}) is a second one of one act")
            _check_event(session, event, acts.get(event.act), place)


def _needs_act(act: str, at: str, since: str | None) -> bool:
    """Whether something must have its act: it names one, or there were people then."""
    return bool(act) or (since is not None and at >= since)


def _check_history(session: Session, name: str) -> None:
    """Checks that every event of a model follows from those before it."""
    state, history = LineState(), line_of(session, name).events
    for number, event in enumerate(history, start=1):
        try:
            state = state.after(event)
        except PolicyRefused as error:
            raise StoreBroken(
                f"model {name}: event {number} of {len(history)} ({event.kind}) does not follow: "
                f"{error}"
            ) from error


def _check_thresholds(session: Session, line: ModelLineRow, acts: Mapping[str, ActRow]) -> None:
    """Checks that a model was founded with the thresholds that a person asked for."""
    act = acts.get(line.act)
    request = None if act is None else carried_out(session, act)
    if act is None or request is None or (request.action, request.subject) != (
        _REGISTER, line.name,
    ):  # fmt: skip
        raise StoreBroken(f"model {line.name} was founded by no act of a person")
    said = request.details.get("rules")
    asked = GateRules() if said is None else read_rules(json.loads(str(said)))
    if rules_of(line) != asked:
        raise StoreBroken(f"model {line.name} has other thresholds than {act.person} asked for")


def _check_event(session: Session, event: ModelEventRow, act: ActRow | None, place: str) -> None:
    """Checks that an event is what its act asked for.

    Raises:
        StoreBroken: it is not.
    """
    if act is None:
        raise StoreBroken(f"{place} ({event.kind}) has no act of a person that was carried out")
    request = carried_out(session, act)
    is_stated = event.kind == EventKind.SERVED_STATED
    subject = json.loads(event.sites_json)[0] if is_stated else event.line
    said = request.action, request.subject, act.person, act.at
    if said != (_ACTIONS.get(event.kind), subject, event.by, event.at):
        raise StoreBroken(
            f"{place} ({event.kind}) is not what act {act.id} of {act.person} asked for: "
            f"{request.action} of {request.subject}"
        )
    if not _is_same(session, event, request.details):
        raise StoreBroken(
            f"{place} ({event.kind}) is of another version, hospital or name than act {act.id} of "
            f"{act.person} asked for"
        )


def _is_same(session: Session, event: ModelEventRow, details: Mapping[str, Any]) -> bool:
    """Whether an event's version, hospitals, name and statement are those of an act's details."""
    if event.kind == EventKind.SERVED_STATED:
        return bool(digest(event.reason.encode()) == details.get("statement"))
    sites = details.get("sites", ()) if event.kind == EventKind.CANARY_BEGUN else ()
    alias = details.get("alias", "") if event.kind == EventKind.NAMED else event.alias
    if json.loads(event.sites_json) != sorted(set(sites)) or event.alias != alias:
        return False
    if event.reason != details.get("reason", ""):
        return False
    version = str(details.get("version", ""))
    if not version and event.kind == EventKind.ROLLED_BACK:
        return True
    row = session.scalars(select(SignedSnapshotRow).filter_by(digest=event.version)).one_or_none()
    names = () if row is None else (row.digest, row.run_id, row.model_digest)
    return bool(version) and any(name.startswith(version) for name in names)
