"""The table of runs: one row for each, with figures as numbers so that they can be sorted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.formatting import show
from compliance.facts.privacy_utility import MODES
from coordinator.views.one_run.run_summary import RunSummary

#: Of a run, the tags that it has now.
Tags = Mapping[str, Sequence[str]]
#: What stands for the privacy of a run with fixed test noise.
TEST_NOISE = "none: test noise"


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Conditions that a table of runs is narrowed by; empty and None narrow nothing.

    ``text`` is words, each of which the run's name, study, sweep, tags or failure holds. With a
    range of epsilon, runs that promise none are left out.
    """

    text: str = ""
    studies: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    epsilon: tuple[float, float] | None = None


def found_runs(runs: Sequence[RunSummary], tags: Tags, wanted: RunFilter) -> list[RunSummary]:
    """Returns the runs that a filter lets through, in their order."""
    return [run for run in runs if _fits(run, tags.get(run.run_id, ()), wanted)]


def _fits(run: RunSummary, tags: Sequence[str], wanted: RunFilter) -> bool:
    chosen = (
        (wanted.studies, run.study_name),
        (wanted.states, run.state),
        (wanted.modes, mode_name(run)),
    )
    if any(names and name not in names for names, name in chosen):
        return False
    if wanted.tags and not {*wanted.tags} & {*tags}:
        return False
    if wanted.epsilon is not None:
        low, high = wanted.epsilon
        if run.epsilon is None or not low <= run.epsilon <= high:
            return False
    told = f"{run.run_id} {run.study_name} {run.sweep or ''} {run.failure or ''} {' '.join(tags)}"
    return all(word in told.lower() for word in wanted.text.lower().split())


def run_rows(runs: Sequence[RunSummary], tags: Tags) -> list[dict[str, Any]]:
    """Returns a row for each run, by the name of the column.

    ``released`` and ``exact`` are figures of the study's task; ``interval`` is the released one's
    in words, or why there is no figure. ``exact`` is a simulation's alone. Times are without a zone
    and in UTC; ``minutes`` is how long it took, None while it runs.
    """
    return [_row(run, tags.get(run.run_id, ())) for run in runs]


def _row(run: RunSummary, tags: Sequence[str]) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "folder": run.folder,
        "study": run.study_name,
        "state": run.state,
        "mode": mode_name(run),
        "epsilon": run.epsilon,
        "figure": run.figure.label,
        "released": None if run.released is None else run.released.value,
        "interval": interval_words(run),
        "exact": run.exact if run.simulation else None,
        "rounds": run.rounds_done,
        "planned": run.rounds,
        "hospitals": run.hospitals,
        "started": datetime.fromisoformat(run.started_at).replace(tzinfo=None),
        "minutes": _minutes(run),
        "seed": run.seed,
        "strategy": run.strategy,
        "sweep": run.sweep or "",
        "simulation": run.simulation,
        "tags": list(tags),
    }


def mode_name(run: RunSummary) -> str:
    """Returns a run's mode of privacy in words; of fixed test noise, that it protects nobody."""
    return TEST_NOISE if run.test_noise else MODES[run.mode]


def interval_words(run: RunSummary) -> str:
    """Returns a released figure's interval in words, or why nothing was released."""
    found: Interval | None = run.released
    if found is None:
        return "nothing released"
    if found.value is None:
        return f"withheld: {found.note or 'not available'}"
    if found.low is None or found.high is None:
        return found.note or "without an interval"
    return f"{show(found.low, run.figure.form)} to {show(found.high, run.figure.form)}"


def _minutes(run: RunSummary) -> float | None:
    if run.ended_at is None:
        return None
    took = datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at)
    return took.total_seconds() / 60
