"""The security log: acts about members, keys and runs, and everything that went wrong."""

from compliance.facts.formatting import Format
from compliance.reports.basis import Claims, ReportClaim, entry_ranges
from compliance.reports.document import Column, Document, Section, Table
from compliance.reports.evidence import ReportSubject, entry_words
from compliance.reports.evidence.controls import GDPR, HIPAA
from compliance.reports.kinds.parts import KindText, report
from protocol.counted import counted

SECURITY_LOG = KindText(
    name="security-log",
    title="Security log",
    question="Who was let in, what went wrong, does the log hold?",
    texts=(HIPAA, GDPR),
)
#: Types of entries that every round has; they are no acts of security.
_ROUNDS = frozenset(
    "round-opened survivors masked-blobs ledger-heads transcript sum result masked".split()
)
#: Types of entries that say that something went wrong.
_WRONG = ("round-failed", "run-failed", "run-stopped", "accusation", "conduct", "alert-raised")
_MOST_ACTS = 1000


def security_log(subject: ReportSubject) -> Document:
    """Returns the acts that a security officer looks at, and every fault."""
    parts = [_wrong(subject), people_section(subject), acts_section(subject)]
    return report(SECURITY_LOG, subject, parts)


def people_claim(subject: ReportSubject) -> ReportClaim:
    """Returns the statement about who acts here: by name, under keys of their own, or nobody."""
    acts = subject.facts.acts
    taken = [act for act in acts if act.outcome != "refused"]
    named = {act.person for act in taken}
    said = (
        f"{counted(len(taken), 'act')} of {counted(len(named), 'named person')}, each signed with "
        f"the person's own key. Refused beside these: {len(acts) - len(taken)}, of which the log "
        "shows what was claimed."
    )
    return subject.evidenced(
        "Who acts",
        said if acts else "Nobody is named.",
        tuple(entry for act in acts for entry in act.entries),
        why="no person was registered until here: what was done is attributed to nobody",
        remedy="collegium people found registers the first one (docs/governance.md)",
    )


def people_section(subject: ReportSubject) -> Section:
    """Returns every act of a person: who did what to what, in which role, what came of it."""
    acts = subject.facts.acts[-_MOST_ACTS:]
    table = Table(
        title="Acts of people",
        columns=(
            Column(title="Entry", form=Format.COUNT),
            Column(title="Time", form=Format.TIME),
            Column(title="Person"),
            Column(title="Role"),
            Column(title="Did"),
            Column(title="To"),
            Column(title="Outcome"),
        ),
        rows=tuple(
            (
                act.entries[-1],
                act.at,
                act.person if act.outcome != "refused" else f"{act.person} (as claimed)",
                act.role,
                act.action,
                act.subject,
                act.outcome,
            )
            for act in acts
        ),
    )
    claims = Claims(title="By name", items=(people_claim(subject),))
    blocks = (claims, table) if acts else (claims,)
    return Section(key="people", title="Acts of people", blocks=blocks)


def _wrong(subject: ReportSubject) -> Section:
    wrong = subject.all_entries(*_WRONG)
    drops = sum(len(r.dropped) for one in subject.dossiers for r in one.rounds)
    found, steps = subject.facts.verification, subject.clock_steps()
    none = {"why": "the log holds no entry of it", "remedy": "run the study first"}
    said = (
        f"{counted(len(wrong), 'entry')} of the log say that something went wrong; the table "
        "below names them."
        if wrong
        else "No entry of the log about these runs says that an attempt or a run failed, that a "
        "hospital was accused, or that an alert was raised."
    )
    faults = list(found.faults) if found is not None else []
    verified = (
        "Log and records were verified when this report was made: no fault."
        if found is not None and not faults
        else f"Verification: {'; '.join(faults[:5]) or 'was not made'}."
    )
    clock = (
        f"The clock went back {len(steps)} times: see page 1."
        if steps
        else "The times of the entries never go back by more than a minute."
        if not subject.facts.clocks
        else "The clock of a cosigner was far from the log's: see page 1."
    )
    items = (
        subject.evidenced("What went wrong", said, wrong or subject.last, **none),
        subject.evidenced(
            "Drop-outs", f"Hospitals dropped out of rounds {drops} times.",
            subject.all_entries("survivors", "round-failed"), **none),
        subject.evidenced("Verification", verified, subject.last, **none),
        subject.evidenced("Clock", clock, subject.last, **none),
        subject.declared("incident_plan", "Incident plan"),
        subject.declared("log_review", "Review of the log"),
    )  # fmt: skip
    return Section(key="faults", title="Faults", blocks=(Claims(title="Faults", items=items),))


def acts_section(subject: ReportSubject) -> Section:
    """Returns every act that is no step of a round, in words, with its entry and time."""
    acts = [entry for entry in subject.facts.log.entries if entry.type not in _ROUNDS]
    first = subject.evidenced(
        "Acts",
        f"{counted(len(acts), 'entry')} of the log about these runs and their consortium are no "
        "step of a round; the table names them.",
        tuple(entry.index for entry in acts),
        why="there is none",
        remedy="run the study first",
    )
    left = max(0, len(acts) - _MOST_ACTS)
    table = Table(
        title="Acts",
        columns=(
            Column(title="Entry", form=Format.COUNT),
            Column(title="Time", form=Format.TIME),
            Column(title="What was done"),
            Column(title="Run"),
            Column(title="Type"),
        ),
        rows=tuple(
            (entry.index, entry.time, entry_words(entry.type), entry.run, entry.type)
            for entry in acts[-_MOST_ACTS:]
        ),
        note=f"{left:,} earlier acts are in the listing below alone: entries "
        f"{entry_ranges([e.index for e in acts[:left]])}." if left else "",
    )  # fmt: skip
    claims = Claims(title="What was done", items=(first,))
    return Section(key="acts", title="Acts", blocks=(claims, table))
