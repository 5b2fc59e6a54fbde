"""Runs as the chooser offers them, and the figure of one that trains nothing."""

from collections.abc import Sequence

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format, show
from compliance.facts.privacy_utility import MODES
from compliance.reports.one_run.run_page import counted_highlight
from coordinator.views.one_run.run_summary import RunSummary

#: What helps, by the class of the error that ended a run.
_REMEDIES = {
    "QuorumLost": "hospitals",
    "RunLost": "hospitals",
    "LinkLost": "hospitals",
    "BudgetSpent": "budget",
    "PolicyRefused": "policy",
    "StudyRefused": "study",
    "CohortRefused": "study",
    "StoreBroken": "store",
}
_ORDER = {"finished": 0, "running": 1}


def ordered(runs: Sequence[RunSummary]) -> tuple[RunSummary, ...]:
    """Returns the runs as the chooser offers them: finished ones first, newest first."""
    newest = sorted(runs, key=lambda run: run.started_at, reverse=True)
    return tuple(sorted(newest, key=lambda run: _ORDER.get(run.state, 2)))


def run_label(run: RunSummary) -> str:
    """Returns one line that tells a run from the others."""
    privacy = "no privacy: test noise" if run.test_noise else MODES[run.mode]
    if run.epsilon is not None and not run.test_noise:
        privacy += f", ε = {show(run.epsilon, Format.EPSILON)}"
    when = show(run.started_at, Format.TIME)
    return f"{run.study_name} · {privacy} · seed {run.seed} · {run.state} · {when} · {run.run_id}"


def remedy_of(kind: str) -> str:
    """Returns the name of what helps against an error of this class; ``other`` of an unknown one.

    >>> remedy_of("QuorumLost"), remedy_of("ValueError")
    ('hospitals', 'other')
    """
    return _REMEDIES.get(kind, "other")


def counted_figure(dossier: Dossier) -> tuple[str, str, str]:
    """Returns what a run counted that trains nothing, as a figure with its label and note."""
    shown = counted_highlight(dossier)
    return shown.label.capitalize(), show(shown.value, shown.form), shown.note
