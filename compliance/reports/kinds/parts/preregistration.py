"""Statements about a preregistration: when it stood, what was decided, what was done otherwise."""

from collections.abc import Iterator

from compliance.facts.dossier import Dossier
from compliance.facts.dossier.preregistration import (
    CriterionVerdict,
    PreregistrationOutcome,
    preregistration_outcome,
)
from compliance.reports.basis import Claims, Declared, ReportClaim
from compliance.reports.document import Section
from compliance.reports.evidence import ReportSubject
from compliance.reports.run_tables import criteria_table, earlier_runs_table

_NO_RELEASE = {
    "why": "the run released no figure that decides it",
    "remedy": "see below under deviations why; a criterion of a withheld figure stays undecided",
}
_NO_ENTRY = {
    "why": "no entry of the log about this run shows it",
    "remedy": "make the report from the folder in which the study ran",
}


def preregistration_sections(subject: ReportSubject, dossier: Dossier) -> tuple[Section, ...]:
    """Returns the section about a run's preregistration; none of a study without one."""
    said = preregistration_outcome(dossier)
    if said is None:
        return ()
    earlier = (earlier_runs_table(said),) if said.facts.earlier else ()
    return (
        Section(
            key=f"preregistration-{dossier.run_id}",
            title="Preregistration"
            if subject.single
            else f"Preregistration of run {dossier.run_id}",
            blocks=(
                Claims(title="", items=tuple(_outcome(subject, dossier, said))),
                criteria_table(said),
                Claims(title="Deviations", items=tuple(_deviations(subject, dossier, said))),
                *earlier,
            ),
        ),
    )


def outcome_claims(subject: ReportSubject, dossier: Dossier) -> tuple[Claims, ...]:
    """Returns in a few statements what became of a preregistration; none without one."""
    said = preregistration_outcome(dossier)
    if said is None:
        return ()
    items = tuple(_outcome(subject, dossier, said))
    return (Claims(title=f"Preregistration of run {dossier.run_id}", items=items),)


def _outcome(
    subject: ReportSubject, dossier: Dossier, said: PreregistrationOutcome
) -> Iterator[ReportClaim]:
    run, registered = dossier.run_id, subject.registered(dossier)
    opened = subject.entries(run, "round-opened")[:1]
    released = subject.entries(run, "release")
    yield subject.evidenced("Registered", said.timing, (*registered, *opened), **_NO_ENTRY)
    for one in said.hypotheses:
        which = "Primary hypothesis" if one.hypothesis.primary else "Hypothesis"
        known = one.verdict is not CriterionVerdict.UNDECIDED
        yield subject.evidenced(
            f"{which} {one.hypothesis.name}",
            f"{one.hypothesis.text} This run: {one.words}.",
            released if known else (),
            **_NO_RELEASE,
        )
    for each in said.contingencies:
        yield subject.evidenced("Contingency", f"{each.words}.", registered, **_NO_ENTRY)
    if said.plan.stopping is not None:
        yield subject.evidenced("Stopping rule", said.plan.stopping, registered, **_NO_ENTRY)
    for text in said.plan.exploratory:
        yield subject.evidenced("Exploratory", text, registered, **_NO_ENTRY)


def _deviations(
    subject: ReportSubject, dossier: Dossier, said: PreregistrationOutcome
) -> Iterator[ReportClaim]:
    known = {entry.index for entry in subject.facts.log.entries}
    for one in said.found:
        entries = tuple(index for index in one.entries if index in known)
        yield subject.evidenced(
            "Found in the records", one.text,
            entries or subject.entries(dossier.run_id, "run-started"), **_NO_ENTRY,
        )  # fmt: skip
    for declared in said.declared:
        yield ReportClaim(
            topic="Declared",
            text=f"{declared.text} ({said.declared_text(declared)}; entry {declared.entry.index})",
            basis=Declared(by=declared.person, on=declared.at[:10]),
        )
    if not said.found and not said.declared:
        yield subject.evidenced(
            "Deviations", "The records show none, and nobody declared any.",
            subject.entries(dossier.run_id, "run-started"), **_NO_ENTRY,
        )  # fmt: skip
