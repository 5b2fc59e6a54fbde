"""Studies as they are chosen: runs whose figures can be compared, as one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.views.one_run.run_summary import RunSummary
from dashboard.texts import say

#: A question's digest is told by so many of its digits, where two studies have one name.
_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class AskedStudy:
    """Runs that ask the same question, newest first.

    ``name`` is the newest one's study: what differs between them is how they learn, not what.
    """

    question: str
    name: str
    runs: tuple[RunSummary, ...]

    @property
    def finished(self) -> tuple[RunSummary, ...]:
        """The runs that finished."""
        return tuple(run for run in self.runs if run.state == "finished")

    @property
    def shown(self) -> RunSummary:
        """The run that stands for the study: the newest that finished under privacy, if any."""
        protected = [run for run in self.finished if run.epsilon is not None]
        return (*protected, *self.finished, *self.runs)[0]


def asked_studies(runs: Sequence[RunSummary]) -> tuple[AskedStudy, ...]:
    """Returns the studies of these runs: those with a finished run first, then the newest first."""
    groups: dict[str, list[RunSummary]] = {}
    for run in sorted(runs, key=lambda run: run.started_at, reverse=True):
        groups.setdefault(run.question, []).append(run)
    studies = [
        AskedStudy(question=question, name=own[0].study_name, runs=tuple(own))
        for question, own in groups.items()
    ]
    return tuple(sorted(studies, key=lambda study: not study.finished))


def study_labels(studies: Sequence[AskedStudy]) -> dict[str, str]:
    """Returns by question the line that tells a study from the others."""
    names = Counter(study.name for study in studies)
    return {
        study.question: say(
            "studies.label",
            name=study.name
            if names[study.name] == 1
            else f"{study.name} ({study.question[:_DIGITS]})",
            number=len(study.runs),
            when=study.runs[0].started_at[:10],
        )
        for study in studies
    }


def not_drawn(study: AskedStudy) -> str:
    """Returns how many runs have no mark in a chart of the study, and why; empty where all have."""
    states = Counter(run.state for run in study.runs if run.state != "finished")
    parts = [
        say("studies.in_state", number=number, state=say(f"studies.state_{state}"))
        for state, number in sorted(states.items())
    ]
    if noise := sum(run.test_noise for run in study.finished):
        parts.append(say("studies.test_noise", number=noise))
    return say("studies.not_drawn", runs="; ".join(parts)) if parts else ""
