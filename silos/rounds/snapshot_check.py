"""The check of a snapshot before a hospital signs it: against what it knows of the run itself.

It knows the study, the roster and the first parameters, the model that it evaluated last, and its
own promise to its patients. What only the coordinator knows (the figures, the sums of the last
round) is held to the log by whoever verifies that; the hospital's own record of its end of the run
holds the figures again.
"""

from collections.abc import Callable, Mapping

from protocol.errors import PolicyRefused
from protocol.identity.roster import Roster
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary
from protocol.transport.snapshot import Snapshot, promised_privacy
from protocol.vectors.tensors import Layout


def require_own_snapshot(
    snapshot: Snapshot,
    *,
    run_id: str,
    study: Study,
    roster: Roster,
    initial: str,
    layout: Layout,
    evaluated: Callable[[int], str | None],
    own: Summary,
) -> None:
    """Refuses a snapshot that says something else than this hospital knows.

    Args:
        snapshot: signed by the coordinator, which was checked.
        run_id, study, roster: of the run.
        initial: the digest of the study's first parameters.
        layout: names and shapes of the parameters.
        evaluated: returns the digest of the model that it evaluated in the evaluation of a number.
        own: its summary of the run.

    Raises:
        PolicyRefused: says which part is another.
    """
    terms = study.release
    number = study.evaluations.number_after(snapshot.round)
    expected: Mapping[str, object] = {
        "coordinator": roster.coordinator.public_key,
        "run": run_id,
        "study": study.digest,
        "roster": roster.digest,
        "quorum": study.threshold,
        "parents": (initial,),
        "layout": layout.digest,
        "licence": "" if terms is None else terms.licence,
        "permitted_use": "" if terms is None else terms.permitted_use,
    }
    others = [name for name, value in expected.items() if getattr(snapshot, name) != value]
    if others:
        raise PolicyRefused(f"the snapshot names another {', '.join(others)} than the run has here")
    if not set(snapshot.sites) <= set(study.site_names):
        raise PolicyRefused("the snapshot names a hospital that is not of the study")
    if number is None or evaluated(number) != snapshot.model:
        raise PolicyRefused("the snapshot's model is not the one that this hospital evaluated last")
    if snapshot.promised_to(own.site) != promised_privacy(own):
        raise PolicyRefused("the snapshot states another promise to this hospital's patients")
