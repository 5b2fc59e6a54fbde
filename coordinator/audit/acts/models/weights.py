"""Encrypted models: each decision and opening in a record is an act, and each act is in a record.

The record beside an encrypted model is signed with the coordinator's key. Whoever holds that key
writes another one; the acts of people, which the log holds, show it. Refusals are claims. Before
the first person is registered there are no acts, and what was decided then is not compared.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.acts import ActRequest
from compliance.storage.encryption.folder import WEIGHTS, WeightsFolder, WeightsFound
from compliance.storage.encryption.record import WeightsEvent, WeightsEventKind
from coordinator.audit.acts.signed_acts import carried_out
from coordinator.audit.faults import Faults
from coordinator.governance.models.weights_register import act_details
from coordinator.governance.tables import ActRow
from protocol.log.entry import LogEntry

_ACTIONS: Mapping[WeightsEventKind, str] = {
    WeightsEventKind.SEALED: "weights.seal",
    WeightsEventKind.REWRAPPED: "weights.rewrap",
    WeightsEventKind.RETIRED: "weights.retire",
    WeightsEventKind.OPENED: "weights.open",
}
#: What an act of a decision and its event must both say.
_SAID = ("payload", "payload_bytes", "header", "generation", "recipients")
#: Outcomes of acts that may stand in a record; one that was cut off may have been carried out.
_TAKEN = ("done", "allowed")

#: An act or an event: which action on which model, what it says, whose it is.
_Deed = tuple[str, str, tuple[Any, ...], str]


def check_weights(
    session: Session, home: Path, public: bytes, entries: Sequence[LogEntry], faults: Faults
) -> WeightsFound:
    """Checks every encrypted model of a coordinator's folder, and holds its record to the acts.

    Args:
        session: reads the database.
        home: the folder.
        public: the log's key, which signs the records.
        entries: the log's.
        faults: takes what is found wrong.
    """
    found = WeightsFolder(home / WEIGHTS, {public}).check()
    for fault in found.faults:
        faults.add(fault)
    since = next((entry.time for entry in entries if entry.type == "person-added"), None)
    if since is None:
        return found
    with faults.checking("the acts about encrypted models"):
        _check_acts(session, found, since, faults)
    return found


def _check_acts(session: Session, found: WeightsFound, since: str, faults: Faults) -> None:
    rows = select(ActRow).where(ActRow.outcome.in_(_TAKEN)).order_by(ActRow.id)
    done: list[_Deed] = []
    taken: Counter[_Deed] = Counter()
    for row in session.scalars(rows):
        if not set(row.effects.split()) & {*_ACTIONS.values()}:
            continue
        deed = _deed_of(carried_out(session, row), row.person)
        taken[deed] += 1
        done += [deed] if row.outcome == "done" and deed[0] != "weights.open" else []
    written: Counter[_Deed] = Counter()
    for model, history in found.histories.items():
        for event in history.events:
            if event.kind not in _ACTIONS or (event.at < since and not event.by):
                continue
            deed = _deed_of_event(model, event)
            written[deed] += 1
            if written[deed] > taken[deed]:
                faults.add(
                    f"encrypted model {model[:12]}: event {event.number} of its record "
                    f"({event.kind}) is no act of {event.by or 'a person'} in the log"
                )
    for deed in done:
        action, model, _, person = deed
        if written[deed] < 1:
            missing = "" if model in found.histories else ": no whole record of it is here"
            faults.add(
                f"encrypted model {model[:12]}: the log holds an act {action} of {person} that "
                f"its record does not{missing}. Restore {WEIGHTS}/ from the newest backup"
            )


def _deed_of(request: ActRequest, person: str) -> _Deed:
    said: Mapping[str, Any] = request.details
    if request.action == "weights.retire":
        return request.action, request.subject, (), person
    if request.action == "weights.open":
        return request.action, request.subject, (said.get("recipient"),), person
    return request.action, request.subject, tuple(said.get(name) for name in _SAID), person


def _deed_of_event(model: str, event: WeightsEvent) -> _Deed:
    action = _ACTIONS[event.kind]
    person = event.by.rpartition(", confirmed by ")[2]
    if event.kind is WeightsEventKind.OPENED:
        return action, model, (event.recipient,), person
    if event.manifest is None:
        return action, model, (), person
    said = act_details(event.manifest)
    return action, model, tuple(said[name] for name in _SAID), person
