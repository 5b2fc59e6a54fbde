"""Deviations from the plan that the records of a run show, each with the entries that show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from compliance.facts.dossier.record import Dossier, EntryFacts
from compliance.facts.dossier.registration_facts import EarlierRun, RegistrationFacts, Relation
from compliance.facts.dossier.round_facts import RoundFacts
from compliance.facts.figures import figure_kind
from protocol.counted import counted

#: States of a run that still goes on, or may.
_OPEN = frozenset({"running", "interrupted"})
#: Relations between studies that have one preregistration.
_SAME = frozenset({Relation.SAME_STUDY, Relation.SAME_PREREGISTRATION})


class DeviationKind(StrEnum):
    """The kinds of deviations that software finds."""

    ENDED_EARLY = "run_ends_early"
    ROUND_REPEATED = "round_repeated"
    HOSPITAL_LEFT = "hospital_leaves"
    FIGURE_WITHHELD = "figure_withheld"
    TAKEN_BACK = "model_taken_back"
    NOT_BEFORE = "registered_too_late"
    RESULTS_KNOWN = "results_known_before"
    RUN_BEFORE = "run_before"
    TESTED_BEFORE = "tested_before"
    NO_NOISE = "test_noise"
    CONTRADICTED = "claim_contradicted"


@dataclass(frozen=True, kw_only=True)
class FoundDeviation:
    """A deviation that records show: what happened, and the numbers of the log's entries."""

    kind: DeviationKind
    text: str
    entries: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the deviation as ``--json`` shows it."""
        return {"kind": self.kind.value, "text": self.text, "entries": list(self.entries)}


def found_deviations(dossier: Dossier) -> tuple[FoundDeviation, ...]:
    """Returns every deviation that the records of a run show, the registration's first."""
    facts = dossier.registration or RegistrationFacts(registered=None)
    return (
        *_registered_late(dossier, facts),
        *_known_before(facts),
        *_run_before(facts),
        *_tested_before(facts),
        *_ended_early(dossier),
        *_repeated(dossier),
        *_left(dossier),
        *_withheld(dossier),
        *_taken_back(dossier),
        *_unprotected(dossier),
    )


def first_round(dossier: Dossier) -> EntryFacts | None:
    """Returns the entry that opened a run's first round; None before it."""
    return next((one for one in dossier.audit.entries if one.type == "round-opened"), None)


def first_release(dossier: Dossier) -> EntryFacts | None:
    """Returns the entry of a run's first released figures; None before it."""
    return next((one for one in dossier.audit.entries if one.type == "release"), None)


def number_of(facts: RegistrationFacts) -> int:
    """Returns the number of a run among those of its preregistration, from 1."""
    return 1 + sum(one.relation in _SAME for one in facts.earlier)


def later_runs(
    facts: RegistrationFacts,
) -> tuple[tuple[EarlierRun, ...], tuple[EarlierRun, ...]]:
    """Returns the runs that began after one: of its preregistration, and of related studies."""
    same = tuple(one for one in facts.later if one.relation in _SAME)
    return same, tuple(one for one in facts.later if one.relation not in _SAME)


def _registered_late(dossier: Dossier, facts: RegistrationFacts) -> Iterator[FoundDeviation]:
    began = first_round(dossier)
    if facts.registered is None:
        yield FoundDeviation(
            kind=DeviationKind.NOT_BEFORE, text="The log has no entry that registered the study."
        )
    elif began is not None and began.index < facts.registered.index:
        yield FoundDeviation(
            kind=DeviationKind.NOT_BEFORE,
            text=f"The study was registered as entry {facts.registered.index}, after the first "
            f"round was opened as entry {began.index}.",
            entries=(began.index, facts.registered.index),
        )


def _known_before(facts: RegistrationFacts) -> Iterator[FoundDeviation]:
    """Yields that figures of earlier runs were released before the preregistration stood."""
    if facts.registered is None:
        return
    before = [
        one
        for one in facts.earlier
        if one.released is not None and one.released.index < facts.registered.index
    ]
    if before:
        entries = [one.released.index for one in before if one.released is not None]
        yield FoundDeviation(
            kind=DeviationKind.RESULTS_KNOWN,
            text=f"Figures were released before the preregistration was: of {_runs_text(before)}.",
            entries=(*sorted(entries), facts.registered.index),
        )


def _run_before(facts: RegistrationFacts) -> Iterator[FoundDeviation]:
    number, earlier = number_of(facts), facts.earlier
    if number > 1:
        same = [one for one in earlier if one.relation in _SAME]
        yield FoundDeviation(
            kind=DeviationKind.RUN_BEFORE,
            text=f"This is run {number} of this preregistration; before it: {_runs_text(same)}.",
        )
    related = [one for one in earlier if one.relation not in _SAME]
    if related:
        yield FoundDeviation(
            kind=DeviationKind.RUN_BEFORE,
            text=f"{counted(len(related), 'run')} of related studies began before it: "
            f"{_runs_text(related)}.",
        )


def _tested_before(facts: RegistrationFacts) -> Iterator[FoundDeviation]:
    tested = [one for one in facts.earlier if one.released is not None and one.same_patients]
    if tested:
        yield FoundDeviation(
            kind=DeviationKind.TESTED_BEFORE,
            text=f"{counted(len(tested), 'earlier run')} released figures of test patients that "
            f"this run tests again: {', '.join(one.run_id for one in tested)}.",
            entries=tuple(sorted(one.released.index for one in tested if one.released)),
        )


def _runs_text(runs: Sequence[EarlierRun]) -> str:
    return "; ".join(
        f"{one.run_id} of {one.study_name} {one.study_digest[:16]} ({one.relation.value}), "
        f"{one.state}" + ("" if one.released is None else ", figures released")
        for one in runs
    )


def _ended_early(dossier: Dossier) -> Iterator[FoundDeviation]:
    if dossier.state in _OPEN:
        return
    planned = dossier.rounds_planned
    done = len({one.number for one in dossier.rounds if _is_trained(one)})
    if dossier.state == "finished" and done >= planned:
        return
    why = f" ({dossier.failure.rstrip('.')})" if dossier.failure else ""
    ends = ("run-finished", "run-failed", "run-stopped")
    yield FoundDeviation(
        kind=DeviationKind.ENDED_EARLY,
        text=f"The run is {dossier.state}{why}, with {done} of "
        f"{counted(planned, 'planned training round')} done.",
        entries=_entries(dossier, *ends),
    )


def _is_trained(one: RoundFacts) -> bool:
    return one.round_kind == "training" and one.state == "finished"


def _repeated(dossier: Dossier) -> Iterator[FoundDeviation]:
    failed = [one for one in dossier.rounds if one.state == "failed"]
    if failed:
        named = ", ".join(dict.fromkeys(map(_place, failed)))
        yield FoundDeviation(
            kind=DeviationKind.ROUND_REPEATED,
            text=f"{counted(len(failed), 'attempt')} of rounds failed: {named}.",
            entries=_entries(dossier, "round-failed"),
        )


def _place(one: RoundFacts) -> str:
    if one.round_kind == "training":
        return f"round {one.number}"
    return f"evaluation after round {one.number}" if one.is_interim else "evaluation"


def _left(dossier: Dossier) -> Iterator[FoundDeviation]:
    """Yields the hospitals of the study that did not join, were in no sum, or missed some."""
    planned = sorted(site["name"] for site in dossier.study.get("sites", ()))
    joined = {one.site for one in dossier.sites}
    summed = [one for one in dossier.rounds if one.state == "finished"]
    over = dossier.state not in _OPEN
    absent = [site for site in planned if site not in joined]
    if absent and (over or summed):
        yield FoundDeviation(
            kind=DeviationKind.HOSPITAL_LEFT,
            text=f"{counted(len(absent), 'hospital')} of the study did not join: "
            f"{', '.join(absent)}.",
            entries=_entries(dossier, "approvals"),
        )
    for site in sorted(joined):
        missed = [one for one in summed if site in one.dropped]
        if not missed:
            continue
        due = len(missed) + sum(site in one.survivors for one in summed)
        tested = any(one.round_kind == "evaluation" and not one.is_interim for one in missed)
        which = "in no sum" if len(missed) == due else f"missing in {len(missed)} of {due} sums"
        more = ", the last evaluation among them" if tested else ""
        yield FoundDeviation(
            kind=DeviationKind.HOSPITAL_LEFT,
            text=f"{site} joined and was {which}{more}.",
            entries=_entries(dossier, "survivors"),
        )


def _withheld(dossier: Dossier) -> Iterator[FoundDeviation]:
    """Yields the figures of all patients, outcomes, hospitals and groups that were withheld."""
    found: dict[str, list[str]] = {}
    for one in dossier.named_figures:
        if one.found.value is None and one.at is None:
            title = figure_kind(one.figure).title
            found.setdefault(title, []).append(one.part or "all patients")
    if found:
        named = "; ".join(f"{title} of {', '.join(parts)}" for title, parts in found.items())
        yield FoundDeviation(
            kind=DeviationKind.FIGURE_WITHHELD,
            text=f"Figures were withheld: {named}.",
            entries=_entries(dossier, "release"),
        )


def _taken_back(dossier: Dossier) -> Iterator[FoundDeviation]:
    back = () if dossier.course is None else dossier.course.taken_back
    for one in back:
        yield FoundDeviation(
            kind=DeviationKind.TAKEN_BACK,
            text=f"After round {one.rounds} the run went back to the model after round "
            f"{one.goes_on}.",
            entries=_entries(dossier, "course"),
        )


def _unprotected(dossier: Dossier) -> Iterator[FoundDeviation]:
    if dossier.test_noise:
        yield FoundDeviation(
            kind=DeviationKind.NO_NOISE,
            text="The run used fixed test noise, which protects nobody.",
            entries=_entries(dossier, "run-started"),
        )
    if dossier.contradicted:
        yield FoundDeviation(
            kind=DeviationKind.CONTRADICTED,
            text="A red team contradicted the privacy claim.",
            entries=_entries(dossier, "redteam"),
        )


def _entries(dossier: Dossier, *types: str) -> tuple[int, ...]:
    return tuple(one.index for one in dossier.audit.entries if one.type in types)


def seconds_between(before: str, after: str) -> float:
    """Returns the seconds from one time of the log to another."""
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
