"""Red teams' findings about a run, as they are kept with it."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.facts.dossier import RedTeamFacts, read_red_team
from coordinator.database.store import ReleaseRow

_FINDINGS = "redteam"


def red_teams_of(session: Session, run_id: str) -> tuple[RedTeamFacts, ...]:
    """Returns what red teams found about a run, the oldest first."""
    query = select(ReleaseRow).filter_by(run_id=run_id, kind=_FINDINGS).order_by(ReleaseRow.id)
    return tuple(
        read_red_team(run_id, row.released_at, json.loads(row.payload_json))
        for row in session.scalars(query)
    )
