"""The control mapping: what a text asks for, which entries of the log show it, and what is lacking.

Rules:

1. A text is named with its date. What a text asks is said here in our own short words; whoever
   relies on it reads the text.
2. ``evidenced`` means that entries of the log show it. What people declare shows nothing: a
   declaration is named beside the gap, and the gap stays one.
   The parts of SP 800-226 are called by what they are about, without their numbers.
3. A gap is shown as a gap. Nothing here certifies anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compliance.reports.basis import ControlResult, ControlState
from compliance.reports.evidence.subject import ReportSubject

#: The texts, each with its date.
HIPAA = "45 CFR 164.312 (in force; the notice of 2025-01-06 to change it is not final)"
GDPR = "Regulation (EU) 2016/679 (GDPR, 2016-04-27)"
AI_ACT = "Regulation (EU) 2024/1689 (AI Act, 2024-06-13)"
NIST = "NIST SP 800-226 (final, 2025-03-06)"


_SHORT = {HIPAA: "45 CFR", GDPR: "GDPR", AI_ACT: "AI Act", NIST: "NIST SP 800-226"}


def short_name(text: str) -> str:
    """Returns the name of a text without its number and date, where a line has little room."""
    return _SHORT.get(text, text)


@dataclass(frozen=True, kw_only=True)
class Control:
    """One control: of which text, what it asks, which entries show it, and what people declare.

    ``shown`` finds the entries; ``gap`` says what is lacking where there are none; ``declared``
    are the parts of the consortium's declarations about it; ``applies`` tells subjects that the
    control is not about.
    """

    control: str
    text: str
    asks: str
    shown: Callable[[ReportSubject], tuple[int, ...]]
    gap: str
    declared: tuple[str, ...] = ()
    applies: Callable[[ReportSubject], str] = lambda subject: ""


def _types(*types: str) -> Callable[[ReportSubject], tuple[int, ...]]:
    return lambda subject: subject.all_entries(*types)


def _nothing(subject: ReportSubject) -> tuple[int, ...]:
    return ()


def _verified(subject: ReportSubject) -> tuple[int, ...]:
    """Returns the newest entry where log and records were verified without a fault."""
    found = subject.facts.verification
    return subject.last if found is not None and not found.faults else ()


def _protected(*types: str) -> Callable[[ReportSubject], tuple[int, ...]]:
    """Returns what finds entries of runs that claim privacy; nothing where one claims none."""

    def shown(subject: ReportSubject) -> tuple[int, ...]:
        if not subject.dossiers or not all(one.protected for one in subject.dossiers):
            return ()
        return subject.all_entries(*types)

    return shown


def _on_a_network(subject: ReportSubject) -> str:
    """Returns why a control about lines between machines is not about a simulation."""
    if subject.dossiers and all(one.simulation for one in subject.dossiers):
        return "a simulation on one machine: nothing crossed a line"
    return ""


def _trains(subject: ReportSubject) -> str:
    if subject.dossiers and not any(one.trains for one in subject.dossiers):
        return "no model was trained"
    return ""


#: All controls that reports map to, by text.
CONTROLS: tuple[Control, ...] = (
    Control(
        control="164.312(a)(1)", text=HIPAA, asks="Access control: only persons and programs "
        "with access rights reach the systems.",
        shown=_types("person-added", "act-done", "act-refused"),
        gap="No person is registered: acts are attributed to nobody. The access of persons to "
        "machines is not in the log.",
        declared=("access_control",),
    ),
    Control(
        control="164.312(b)", text=HIPAA, asks="Audit controls: activity in the systems is "
        "recorded and can be examined.", shown=_types(
            "study-registered", "run-started", "approvals", "round-opened", "survivors",
            "release", "run-finished", "run-failed", "run-stopped"),
        gap="No entry of the log is about it.", declared=("log_review",),
    ),
    Control(
        control="164.312(c)(1)", text=HIPAA, asks="Integrity: records are not altered or "
        "destroyed improperly.", shown=_verified,
        gap="The records were not verified against the signed log, or a fault was found.",
    ),
    Control(
        control="164.312(d)", text=HIPAA, asks="Authentication: a person or entity is the one "
        "claimed.", shown=_types("roster"),
        gap="No roster of keys is in the log.", declared=("authentication",),
    ),
    Control(
        control="164.312(e)(1)", text=HIPAA, asks="Transmission security: what crosses a "
        "network is guarded.", shown=_types("masked-blobs"),
        gap="No masked vector was sent.", applies=_on_a_network,
    ),
    Control(
        control="Art. 5(1)(c)", text=GDPR, asks="Data minimisation: no more than is needed is "
        "processed where it is not needed.", shown=_types("masked-blobs", "sum"),
        gap="No round ended: nothing shows that only sums left the hospitals.",
    ),
    Control(
        control="Art. 5(2)", text=GDPR, asks="Accountability: the controller can show that it "
        "complies.", shown=_verified,
        gap="The records were not verified against the signed log, or a fault was found.",
    ),
    Control(
        control="Art. 25", text=GDPR, asks="Data protection by design and by default.",
        shown=_protected("approvals", "settlements"),
        gap="A run claims no differential privacy, or no hospital signed a claim.",
    ),
    Control(
        control="Art. 30", text=GDPR, asks="Records of processing activities.", shown=_nothing,
        gap="The log does not hold who is controller, for which purposes, for how long.",
        declared=("controller", "purposes", "data_subjects", "data_categories", "retention"),
    ),
    Control(
        control="Art. 32", text=GDPR, asks="Security of processing.",
        shown=_types("masked-blobs", "transcript"), gap="No round ended.",
        declared=("security_measures",),
    ),
    Control(
        control="Art. 33", text=GDPR, asks="A breach is notified within 72 hours.",
        shown=_nothing, gap="The log holds each incident's steps by digest: collegium incident "
        "list --all says when it became known, and when the authority was told.",
        declared=("incident_plan",),
    ),
    Control(
        control="Art. 35", text=GDPR, asks="Assessment of the impact on data protection.",
        shown=_nothing, gap="The assessment is made by people.",
        declared=("necessity", "risks", "residual_risk", "officer_advice"),
    ),
    Control(
        control="Privacy loss and unit", text=NIST, asks="Privacy loss and the unit of privacy are "
        "stated.", shown=_protected("approvals"),
        gap="A run claims no differential privacy, or no hospital signed a claim.",
    ),
    Control(
        control="Machine learning", text=NIST, asks="Training is private in all that depends "
        "on records.", shown=_protected("round-opened", "survivors"),
        gap="A run claims no differential privacy.", applies=_trains,
    ),
    Control(
        control="Budget", text=NIST, asks="A budget bounds the loss of all releases together.",
        shown=_protected("settlements"),
        gap="A run has no settlement of its budget: it did not end as planned, or claims nothing.",
    ),
    Control(
        control="Implementation", text=NIST, asks="The mechanism's implementation is tested.",
        shown=_types("redteam"), gap="No red team has attacked these runs: collegium redteam RUN.",
    ),
    Control(
        control="Art. 9", text=AI_ACT, asks="Risk management system.", shown=_nothing,
        gap="A system of people and documents.", declared=("risk_management",), applies=_trains,
    ),
    Control(
        control="Art. 10", text=AI_ACT, asks="Data and their governance.",
        shown=_types("study-registered"), gap="The study is not in the log.",
        declared=("data_provenance",), applies=_trains,
    ),
    Control(
        control="Art. 12", text=AI_ACT, asks="Record-keeping: events are logged by the system.",
        shown=_types("run-started", "round-opened", "survivors", "result", "release"),
        gap="No entry of the log is about it.", applies=_trains,
    ),
    Control(
        control="Art. 14", text=AI_ACT, asks="Human oversight.", shown=_nothing,
        gap="The log does not show how people use the model.", declared=("human_oversight",),
        applies=_trains,
    ),
    Control(
        control="Art. 15", text=AI_ACT, asks="Accuracy and robustness are stated.",
        shown=_types("release"), gap="No figure was released.", applies=_trains,
    ),
    Control(
        control="Art. 72", text=AI_ACT, asks="Monitoring after placing on the market.",
        shown=_nothing, gap="A plan of people.", declared=("monitoring_plan",), applies=_trains,
    ),
)  # fmt: skip


def control_results(subject: ReportSubject, texts: Sequence[str]) -> tuple[ControlResult, ...]:
    """Returns the controls of these texts, each as the log shows it or does not."""
    return tuple(_result(subject, one) for one in CONTROLS if one.text in texts)


def _result(subject: ReportSubject, control: Control) -> ControlResult:
    entries, not_about = control.shown(subject), control.applies(subject)
    if not_about:
        state, said = ControlState.NOT_APPLICABLE, f"{not_about[:1].upper()}{not_about[1:]}."
    elif entries:
        state, said = ControlState.EVIDENCED, _declared(subject, control)
    else:
        state, said = ControlState.NOT_EVIDENCED, f"{control.gap} {_declared(subject, control)}"
    return ControlResult(
        control=control.control,
        text=control.text,
        asks=control.asks,
        state=state,
        entries=entries if state is ControlState.EVIDENCED else (),
        said=said.strip(),
    )


def _declared(subject: ReportSubject, control: Control) -> str:
    """Returns which parts people declared about a control, and which they left out."""
    if not control.declared:
        return ""
    found = subject.declarations
    there = [key for key in control.declared if found is not None and found.part(key)]
    lacking = [key for key in control.declared if key not in there]
    said = f"Declared: {', '.join(there)}. " if there else ""
    return said + (f"Not declared: {', '.join(lacking)}." if lacking else "")
