"""A run while it runs: how far it is, what each hospital does, and how long the rest may take."""

from collections.abc import Sequence
from datetime import datetime

from compliance.facts.formatting import Format, show
from coordinator.views.one_run.run_summary import RunSummary

#: Rounds that must have ended before the rest is estimated.
_LEAST_ROUNDS = 2


def share_done(run: RunSummary) -> float:
    """Returns the share of a run's training rounds that are finished, from 0 to 1."""
    return min(1.0, run.rounds_done / run.rounds) if run.rounds else 0.0


def elapsed_seconds(run: RunSummary, now: datetime) -> float:
    """Returns the seconds since a run began."""
    return max(0.0, (now - datetime.fromisoformat(run.started_at)).total_seconds())


def remaining(run: RunSummary, now: datetime) -> tuple[float | None, str]:
    """Returns the seconds that a run may still take, and the key of how they were estimated.

    The service measures its newest rounds; without it, all rounds so far are taken to be as long
    as those to come. None while too little is known, or the run waits.
    """
    if run.progress is not None:
        return run.progress.seconds_left, "newest"
    if run.rounds_done < _LEAST_ROUNDS:
        return None, "unknown"
    left = max(0, run.rounds - run.rounds_done)
    return elapsed_seconds(run, now) / run.rounds_done * left, "average"


def hospital_rows(run: RunSummary, hospitals: Sequence[str]) -> list[dict[str, str]]:
    """Returns what each hospital does now: ``hospital``, ``state`` and ``since``.

    ``state`` is silent (left out: not heard from), asked (a step waits for it) or ready. Nothing
    where no service says so, as in a simulation.
    """
    told = run.progress
    if told is None:
        return []
    rows = []
    for site in hospitals:
        state = "silent" if site in told.silent else "asked" if site in told.asked else "ready"
        since = told.silent.get(site) if state == "silent" else told.asked.get(site)
        rows.append(
            {"hospital": site, "state": state, "since": show(since, Format.TIME) if since else ""}
        )
    return rows
