"""Lines of the register as they are kept: their names, histories and thresholds."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.models.gates import GateRules, read_rules
from compliance.governance.models.stages import EventKind, ModelLine, StageEvent
from coordinator.governance.models.tables import ModelEventRow, ModelLineRow
from protocol.errors import MessageRefused, PolicyRefused
from protocol.transport.serving_statement import parse_serving_statement

#: The beginning of the types of the log's entries; the kind of the event follows.
MODEL_ENTRY = "model-"


def lines_in(session: Session) -> list[str]:
    """Returns the names of all lines, sorted."""
    return list(session.scalars(select(ModelLineRow.name).order_by(ModelLineRow.name)))


def line_of(session: Session, name: str, *, founded: bool = False) -> ModelLine:
    """Returns a line with its history.

    Args:
        session: of the consortium's database.
        name: the model's name.
        founded: whether it is being founded, so that it may have no history yet.

    Raises:
        PolicyRefused: there is none of this name.
    """
    if not founded and session.get(ModelLineRow, name) is None:
        known = ", ".join(lines_in(session)) or "none"
        raise PolicyRefused(f"there is no model {name!r} in the register; there are: {known}")
    query = select(ModelEventRow).filter_by(line=name).order_by(ModelEventRow.id)
    return ModelLine(name=name, events=tuple(map(_event_of, session.scalars(query))))


def rules_of(row: ModelLineRow) -> GateRules:
    """Returns the thresholds of a line."""
    return read_rules(json.loads(row.rules_json))


def _event_of(row: ModelEventRow) -> StageEvent:
    try:
        return StageEvent(
            kind=EventKind(row.kind),
            version=row.version,
            time=row.at,
            sites=tuple(json.loads(row.sites_json)),
            alias=row.alias,
            by=row.by,
            reason=_reason_of(row),
        )
    except (ValueError, TypeError) as error:
        raise MessageRefused(f"event {row.id} of model {row.line} was changed") from error


def _reason_of(row: ModelEventRow) -> str:
    """Returns why an event happened, in words; of a statement of serving what it covers."""
    if row.kind != EventKind.SERVED_STATED:
        return row.reason
    said = parse_serving_statement(row.reason.encode()).statement
    return f"statement {said.number}: {said.since} to {said.until}"
