"""Deviations from a preregistration that people declare: signed acts, with the text in the act."""

from typing import Any

from coordinator.database.store import RunRow, Store, stored_study
from coordinator.governance.governance import Authorised
from protocol.errors import PolicyRefused

#: The most letters of a declared deviation.
MOST_LETTERS = 2000


def declare_deviation(store: Store, taken: Authorised) -> dict[str, Any]:
    """Returns a deviation that was declared: the act itself holds it, and the log its digest.

    Raises:
        PolicyRefused: nothing is said, or the run has no preregistration to deviate from.
    """
    run, said = taken.request.subject, str(taken.request.details.get("text", ""))
    if not said.strip() or len(said) > MOST_LETTERS:
        raise PolicyRefused(f"say what was done otherwise, and why, in 1 to {MOST_LETTERS} letters")
    if not said.isprintable():
        raise PolicyRefused("a deviation is declared in one line: where it is shown, a line is one")
    with store.read() as session:
        row = session.get(RunRow, run)
        if row is None:
            raise PolicyRefused(f"there is no run {run!r} here: collegium runs list shows them")
        if stored_study(session, row.study_digest).preregistration is None:
            raise PolicyRefused(
                f"the study of run {run} has no preregistration to deviate from; a note on the "
                "run's page in the dashboard holds what people want to say of it"
            )
    return {"run": run, "text": said}
