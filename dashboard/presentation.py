"""The contents of the dashboard, without Streamlit, which draws them.

The two interfaces at the top are all that the page asks of the coordinator.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from compliance.estimates.interval import Interval
from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, EntryFacts, LogVerification, SubjectFacts
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Cell, Format, show
from compliance.facts.privacy_utility import MODES, UtilityPoint, Withheld
from compliance.reports.basis import Missing
from compliance.reports.declarations import Declarations
from compliance.reports.document import Document, Table, claims_of
from compliance.reports.kinds import KindText
from compliance.reports.one_run.run_page import counted_highlight
from coordinator.database.log.entry_proofs import MadeProof
from coordinator.views.alerts import Alert
from coordinator.views.cosigners import CosignedLog
from coordinator.views.governance import GovernanceView, RecordedAct
from protocol.counted import counted

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~:$&-])")
_ORDER = {"finished": 0, "running": 1}


class RunLine(Protocol):
    """One line about a run, as the views give it."""

    @property
    def run_id(self) -> str:
        """The run's name."""

    @property
    def study_name(self) -> str:
        """The study it executes."""

    @property
    def state(self) -> str:
        """running, finished, failed, ..."""

    @property
    def started_at(self) -> str:
        """ISO 8601, UTC."""

    @property
    def seed(self) -> int:
        """The public model seed."""

    @property
    def mode(self) -> str:
        """The mode of privacy: per_site, distributed or none."""

    @property
    def epsilon(self) -> float | None:
        """The epsilon promised to one patient; None without privacy or with fixed test noise."""

    @property
    def test_noise(self) -> bool:
        """Whether its noise was fixed for a test, which protects nobody."""


class DashboardViews(Protocol):
    """The queries of the page to the consortium's store."""

    def runs(self) -> Sequence[RunLine]:
        """Returns every run."""

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run."""

    def subject(self, scope: str, name: str) -> SubjectFacts:
        """Returns the facts for a report, see ``coordinator.views.subjects``."""

    def utility(self, run_id: str) -> Sequence[UtilityPoint]:
        """Returns every finished run and reference that asks what this run asks."""

    def withheld(self, run_id: str) -> Sequence[Withheld]:
        """Returns those of them that released no AUROC, and why."""

    def verification(self) -> LogVerification:
        """Returns the result of comparing all records with the signed log."""

    def calendars(self) -> Sequence[DriftCalendar]:
        """Returns the calendar of every monitoring study, the one that ran last first."""

    def baselines(self) -> BaselineFindings | None:
        """Returns the comparison with baselines that lies beside the runs, if there is one."""

    def strategies(self) -> ComparisonFindings | None:
        """Returns the comparison of strategies that lies beside the runs, if there is one."""

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> Sequence[Alert]:
        """Returns the open alerts, of one run only where it is named; with ``closed`` all."""

    def declarations(self) -> tuple[Declarations | None, str]:
        """Returns what the consortium declares beside its runs, and the digest of the file."""

    def governance(self) -> GovernanceView:
        """Returns people, waiting changes and incidents, as of now."""

    def acts(self, *, run: str, study: str) -> Sequence[RecordedAct]:
        """Returns what people did about a run or its study (by digest), in order."""

    def cosigned_log(self) -> CosignedLog:
        """Returns who has cosigned the log, how far, and how far a quorum has."""

    def proof(self, index: int) -> MadeProof:
        """Returns the proof that an entry stands in the log."""


def ordered(runs: Sequence[RunLine]) -> tuple[RunLine, ...]:
    """Returns the runs as the chooser offers them: finished ones first, newest first."""
    newest = sorted(runs, key=lambda run: run.started_at, reverse=True)
    return tuple(sorted(newest, key=lambda run: _ORDER.get(run.state, 2)))


def run_label(run: RunLine) -> str:
    """Returns one line that tells a run from the others."""
    privacy = "no privacy: test noise" if run.test_noise else MODES[run.mode]
    if run.epsilon is not None and not run.test_noise:
        privacy += f", ε = {show(run.epsilon, Format.EPSILON)}"
    when = show(run.started_at, Format.TIME)
    return f"{run.study_name} · {privacy} · seed {run.seed} · {run.state} · {when} · {run.run_id}"


def interval_note(interval: Interval | None, form: Format = Format.RATIO) -> str:
    """Returns what stands below a released figure: its interval, or why there is none."""
    if interval is None:
        return "nothing released"
    if interval.value is None or interval.low is None or interval.high is None:
        return interval.note or "not available"
    return f"95 %: {show(interval.low, form)} to {show(interval.high, form)}"


def readable(table: Table) -> list[dict[str, str]]:
    """Returns a table's rows as texts under their column titles."""
    return [
        {c.title: show(cell, c.form) for c, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]


#: Why a consortium with people offers no file on a page that knows nobody.
EXPORT_IS_AN_ACT = (
    "People are registered in this consortium, so an export is recorded as a person's act. This "
    "page does not know who you are; the command does, by your key:"
)


def kind_caption(text: KindText) -> str:
    """Returns what a kind of report answers, and by which texts."""
    return f"{text.question} {'; '.join(text.texts)}".strip()


def missing_rows(document: Document) -> list[dict[str, str]]:
    """Returns the statements that a report lacks, with why and what to do."""
    return [
        {"About": claim.topic, "Why": claim.basis.why, "What to do": claim.basis.remedy}
        for claim in claims_of(document)
        if isinstance(claim.basis, Missing)
    ]


def report_file(run_id: str, kind: str, form: str) -> str:
    """Returns the name of a report's file.

    >>> report_file("20261121-a1", "model-card", "oscal")
    'collegium-20261121-a1-model-card.oscal.json'
    """
    return f"collegium-{run_id}-{kind}.{'oscal.json' if form == 'oscal' else form}"


def export_command(run_id: str, kind: str, form: str, name: str) -> str:
    """Returns the command that writes the file that the page offers."""
    return (
        f"collegium report export {run_id} --kind {kind} --format {form} --to {name} --out FOLDER"
    )


def alert_rows(alerts: Sequence[Alert]) -> list[dict[str, str]]:
    """Returns alerts as texts under their column titles: the gravest first, then the newest."""
    grave = {"critical": 0, "warning": 1, "info": 2}
    return [
        {
            "Number": str(alert.number),
            "Severity": alert.severity,
            "Since": show(alert.raised_at, Format.TIME),
            "What": str(alert.cause["text"]),
            "Taken note of by": _taken_note(alert),
            "Not delivered to": ", ".join(sorted({one.webhook for one in alert.unsent})),
            "Ended": "" if alert.closed_at is None else show(alert.closed_at, Format.TIME),
            "Run": alert.run or "",
            "What to do": str(alert.cause["remedy"]),
        }
        for alert in sorted(alerts, key=lambda one: (grave.get(one.severity, 3), -one.number))
    ]


def _taken_note(alert: Alert) -> str:
    if alert.acknowledged_by is None:
        return "nobody yet"
    said = f": {alert.note}" if alert.note else ""
    return f"{alert.acknowledged_by}, {show(alert.acknowledged_at, Format.TIME)}{said}"


def alerts_caption(alerts: Sequence[Alert]) -> str:
    """Returns what stands below the open alerts: how many wait, and how one takes note of them."""
    waiting = sum(alert.acknowledged_by is None for alert in alerts)
    return (
        f"{counted(len(alerts), 'open alert')}, of which {waiting} wait for somebody to take note: "
        "collegium alerts acknowledge NUMBER --by NAME. An alert ends with its cause."
    )


def counted_figure(dossier: Dossier) -> tuple[str, str, str]:
    """Returns what a run counted that trains nothing, as a figure with its label and note."""
    shown = counted_highlight(dossier)
    return shown.label.capitalize(), show(shown.value, shown.form), shown.note


def calendar_label(calendar: DriftCalendar) -> str:
    """Returns one line that tells a calendar from the others: amended plans have one title."""
    return f"{calendar.study_title} · {calendar.study_digest[:8]}"


def calendar_figures(calendar: DriftCalendar) -> tuple[tuple[str, str, str], ...]:
    """Returns the few figures of a calendar that a reader takes away, each with label and note."""
    drifted = {one.column for one in calendar.flagged}
    left = [share for share in calendar.budget_left.values() if share is not None]
    protected = calendar.epsilon is not None
    return (
        ("Releases", str(calendar.made), f"of {calendar.planned} after the reference"),
        ("Left", str(calendar.left), "paid for already" if protected else "of the calendar"),
        ("Columns that drifted", str(len(drifted)), f"of {len(calendar.columns)}, in any release"),
        ("ε for one patient", show(calendar.epsilon, Format.EPSILON) if protected else "none",
         f"for all of it, δ = {show(calendar.delta, Format.SMALL)}" if protected
         else "no privacy is claimed"),
        ("Least budget left", show(min(left, default=None), Format.SHARE_LEFT),
         "for life, at any hospital; the calendar is taken off"),
    )  # fmt: skip


def found_entries(entries: Sequence[EntryFacts], words: str) -> tuple[EntryFacts, ...]:
    """Returns the entries that hold every word, in any field, whatever the case."""
    wanted = words.lower().split()

    def holds(entry: EntryFacts) -> bool:
        text = f"{entry.index} {entry.time} {entry.type} {entry.payload} {entry.leaf_hash}".lower()
        return all(word in text for word in wanted)

    return tuple(entry for entry in entries if holds(entry))


def plain(text: str) -> str:
    r"""Returns text for a place that reads Markdown: no link, picture or formatting comes of it.

    A study's author must not be able to make the page fetch something.

    >>> plain("![x](http://a) *b*")
    '\\!\\[x\\]\\(http\\://a\\) \\*b\\*'
    """
    return _MARKDOWN.sub(r"\\\1", text)


def figure(value: Cell, form: Format = Format.RATIO) -> str:
    """Returns a headline's figure; an interval gives its middle, or a dash when it has a note."""
    if isinstance(value, Interval):
        return show(value.value, form)
    return show(value, form)
