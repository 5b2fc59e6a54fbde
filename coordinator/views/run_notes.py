"""Notes and tags that people gave runs: signed acts, of which the newest with tags decides them."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.governance.tables import ActRow
from coordinator.views.governance import recorded_act

#: The act by which a person writes a note about a run, or gives it tags.
NOTE = "run.note"


@dataclass(frozen=True, kw_only=True)
class RunNote:
    """One note about a run: who wrote it, when, and the tags that the run had from then on.

    ``tags`` are None where the note left them as they were; ``act`` is its digest in the log.
    """

    run: str
    at: str
    person: str
    text: str
    tags: tuple[str, ...] | None
    act: str


def notes_in(session: Session, run: str | None = None) -> tuple[RunNote, ...]:
    """Returns notes in the order in which they were written; of one run where it is named.

    Raises:
        StoreBroken: a record is damaged.
    """
    query = select(ActRow).filter_by(action=NOTE, outcome="done").order_by(ActRow.id)
    if run is not None:
        query = query.filter_by(subject=run)
    found = []
    for act in map(recorded_act, session.scalars(query)):
        tags = act.details.get("tags")
        found.append(
            RunNote(
                run=act.subject,
                at=act.at,
                person=act.person,
                text=str(act.details.get("text", "")),
                tags=None if tags is None else tuple(sorted(map(str, tags))),
                act=act.digest,
            )
        )
    return tuple(found)


def tags_of(notes: tuple[RunNote, ...]) -> dict[str, tuple[str, ...]]:
    """Returns the tags that each run has now; runs without any are left out."""
    newest = {note.run: note.tags for note in notes if note.tags is not None}
    return {run: tags for run, tags in newest.items() if tags}
