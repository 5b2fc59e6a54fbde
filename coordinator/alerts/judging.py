"""Judges the facts of one look by the rules: the causes of alerts, by pure functions.

A cause is made of names, the rule's threshold, dates, and figures that were released. What a
hospital signed for the consortium alone, such as how much of its patients' budget is booked,
decides whether there is a cause, and never stands in it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap
from compliance.facts.figures import figure_kind
from coordinator.alerts.facts import (
    AlertFacts,
    DriftReading,
    EndedCanary,
    EvaluatedRun,
    Expiry,
    OpenIncident,
    RunRounds,
    ServedOther,
    SignedShare,
)
from coordinator.alerts.rules import (
    AbsenceRule,
    AggregateRule,
    AlertRule,
    AlertRules,
    BudgetRule,
    CalibrationRule,
    CanaryRule,
    CertificateRule,
    DriftRule,
    FairnessGapRule,
    FairnessGrowthRule,
    IncidentRule,
    RosterRule,
    ServedOtherRule,
    SilenceRule,
    VerificationRule,
)
from protocol.counted import counted
from protocol.encoding import digest
from protocol.identity.timestamps import write_time

#: The longest subject that the database keeps whole.
_LONGEST_KEY = 200


@dataclass(frozen=True, kw_only=True)
class ReleasedBounds:
    """A released figure and its interval; bounds are None where it was released without."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The cause of one alert.

    ``subject`` tells the causes of one rule apart. ``threshold`` is the rule's own, or of drift
    the release's; ``until`` is when something ends. ``text`` says it in a sentence, ``remedy``
    what to do.
    """

    rule: str
    kind: str
    severity: str
    subject: str
    text: str
    remedy: str
    sites: tuple[str, ...] = ()
    study: str | None = None
    run: str | None = None
    figure: str | None = None
    threshold: float | None = None
    released: ReleasedBounds | None = None
    until: str | None = None

    @property
    def key(self) -> str:
        """The subject as the database tells causes apart: a long one is cut, and its digest added.

        Two long ones that begin alike stay two.
        """
        if len(self.subject) <= _LONGEST_KEY:
            return self.subject
        own = digest(self.subject.encode())
        return f"{self.subject[: _LONGEST_KEY - len(own) - 1]} {own}"

    def to_json(self) -> dict[str, Any]:
        """Returns the cause as it is kept, sent and shown."""
        return asdict(self) | {"sites": list(self.sites)}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The causes that are there now, and the rules about which nothing was looked at."""

    causes: tuple[Cause, ...]
    unknown: frozenset[str]


def judged(facts: AlertFacts, rules: AlertRules) -> Judgement:
    """Returns what the rules say of the facts."""
    causes: list[Cause] = []
    unknown = set()
    for rule in rules.rules:
        part, judge = _JUDGES[type(rule)]
        looked_at = getattr(facts, part)
        if looked_at is None:
            unknown.add(rule.name)
        else:
            causes += judge(rule, looked_at, facts.now)
    return Judgement(causes=tuple(causes), unknown=frozenset(unknown))


def _cause(rule: AlertRule, subject: str, **said: Any) -> Cause:
    kind: str = rule.kind  # type: ignore[attr-defined]  # every rule of the file has one
    return Cause(rule=rule.name, kind=kind, severity=rule.severity, subject=subject, **said)


def _budget(rule: BudgetRule, shares: Sequence[SignedShare], _now: datetime) -> list[Cause]:
    return [
        _cause(
            rule,
            one.site,
            sites=(one.site,),
            study=one.study,
            run=one.run_id,
            threshold=rule.share,
            text=f"{one.site} signed that at least {100 * rule.share:g} % of its patients' "
            "privacy budget for life is booked.",
            remedy="Its share stands in the run's report. Plan what is left (collegium study "
            "plan); only the hospital can grant more.",
        )
        for one in shares
        if one.share >= rule.share
    ]


def _drift(rule: DriftRule, readings: Sequence[DriftReading], _now: datetime) -> list[Cause]:
    newest = {(one.study, one.watched): one for one in readings}
    return [
        _cause(
            rule,
            f"{one.study}/{one.watched}",
            study=one.study,
            run=one.run_id,
            figure=one.watched,
            threshold=one.threshold,
            released=ReleasedBounds(value=one.statistic),
            text=f"In release {one.release} of study {one.study}, {one.watched} lies beyond what "
            "chance and noise explain.",
            remedy="Look for what has changed in the hospitals: a unit, a device, who is treated.",
        )
        for one in newest.values()
        if one.flagged
    ]


def _calibration(
    rule: CalibrationRule, runs: Sequence[EvaluatedRun], _now: datetime
) -> list[Cause]:
    newest: dict[str, tuple[EvaluatedRun, RiskFigures, ReleasedBounds]] = {}
    for run in runs:
        bounds = None if run.risks is None else _bounds(run.risks.lacking)
        if run.risks is not None and bounds is not None:
            newest.setdefault(run.study, (run, run.risks, bounds))
    causes = []
    for study, (run, risks, bounds) in newest.items():
        far, low, high = rule.part * (risks.ill.value or 0.0), bounds.low or 0.0, bounds.high or 0.0
        if not (low > far or high < -far):
            continue
        causes.append(
            _cause(
                rule,
                study,
                study=study,
                run=run.run_id,
                figure="mean_risk_lacking",
                threshold=rule.part,
                released=bounds,
                text=f"The risks of the model of study {study} are too "
                f"{'low' if low > far else 'high'}: the mean risk is off by more than "
                f"{100 * rule.part:g} % of the share of the ill, with its whole 95 % interval.",
                remedy="The run's report says what to add to the model's output before it is read "
                "as a risk.",
            )
        )
    return causes


def _bounds(found: Interval) -> ReleasedBounds | None:
    """Returns a released figure with its interval; None where it was withheld."""
    if found.value is None or found.low is None or found.high is None:
        return None
    return ReleasedBounds(value=found.value, low=found.low, high=found.high)


class _Gap(NamedTuple):
    """A gap of a run: of which figure, between hospitals, or groups of patients of a grouping."""

    run: EvaluatedRun
    figure: str
    grouping: str | None
    gap: LargestGap


def _gaps(runs: Sequence[EvaluatedRun]) -> list[list[_Gap]]:
    """Returns the known gaps of each study, figure and grouping: of runs that ask the same.

    The newest stands first.
    """
    found: dict[tuple[str, str, str | None], list[_Gap]] = {}
    for run in runs:
        own: dict[str | None, Mapping[str, LargestGap]] = {None: run.gaps}
        for grouping, gaps in (own | dict(run.group_gaps)).items():
            for figure, gap in gaps.items():
                known = found.setdefault((run.study, figure, grouping), [])
                if not known or known[0].run.question == run.question:
                    known.append(_Gap(run, figure, grouping, gap))
    return list(found.values())


def _fairness_gap(
    rule: FairnessGapRule, runs: Sequence[EvaluatedRun], _now: datetime
) -> list[Cause]:
    return [
        _gap_cause(rule, rule.above, newest, f"above {rule.above:g} with its whole interval")
        for newest, *_ in _gaps(runs)
        if newest.gap.low > rule.above and figure_kind(newest.figure).high is not None
    ]


def _fairness_growth(
    rule: FairnessGrowthRule, runs: Sequence[EvaluatedRun], _now: datetime
) -> list[Cause]:
    more = f" by more than {rule.by:g}" if rule.by else ""
    return [
        _gap_cause(
            rule, rule.by, newest, f"larger{more} than in the run before: the intervals do not meet"
        )
        for newest, *before in _gaps(runs)
        if before and newest.gap.low - before[0].gap.high > rule.by
    ]


def _gap_cause(rule: AlertRule, threshold: float, found: _Gap, how: str) -> Cause:
    run, figure, grouping, gap = found
    pair = gap.shown_between or (gap.highest, gap.lowest)
    between = " and ".join(pair) + (f" ({grouping})" if grouping else "")
    return _cause(
        rule,
        "/".join(part for part in (run.study, figure, grouping) if part),
        sites=() if grouping else pair,
        study=run.study,
        run=run.run_id,
        figure=figure,
        threshold=threshold,
        released=ReleasedBounds(value=gap.value, low=gap.low, high=gap.high),
        text=f"In study {run.study} the largest gap in {figure_kind(figure).title}, between "
        f"{between}, is {how}.",
        remedy="The run's report has the figure of each with its interval: who is served worse, "
        "and do the records differ?",
    )


def _aggregate(rule: AggregateRule, runs: Sequence[RunRounds], _now: datetime) -> list[Cause]:
    return [
        _cause(
            rule,
            run.study,
            sites=run.suspects,
            study=run.study,
            run=run.run_id,
            threshold=float(rule.rounds),
            text=f"In {counted(run.refused, 'round')} of run {run.run_id} the sum was one "
            "that honest hospitals cannot produce: a mask or a vector was wrong. The sums do not "
            "show whose; nobody is accused.",
            remedy="The run's rounds say who was left out since. Compare the software of the "
            "hospitals that are named.",
        )
        for run in runs
        if run.refused >= rule.rounds
    ]


def _silence(rule: SilenceRule, heard: Mapping[str, datetime], now: datetime) -> list[Cause]:
    before = now - timedelta(minutes=rule.minutes)
    return [
        _cause(
            rule,
            site,
            sites=(site,),
            threshold=rule.minutes,
            text=f"{site} has not been heard from for {_said(rule.minutes)}.",
            remedy="docs/operations.md, Lost hospital. Runs wait or go on without it.",
        )
        for site, at in sorted(heard.items())
        if at < before
    ]


def _said(minutes: float) -> str:
    return counted(math.floor(minutes), "minute") if minutes >= 1 else f"{60 * minutes:.0f} seconds"


def _absence(rule: AbsenceRule, runs: Sequence[RunRounds], _now: datetime) -> list[Cause]:
    causes = []
    for run in runs:
        last = run.finished[-rule.rounds :]
        if len(last) < rule.rounds:
            continue
        there = frozenset().union(*last)
        causes += [
            _cause(
                rule,
                f"{run.study}/{site}",
                sites=(site,),
                study=run.study,
                run=run.run_id,
                threshold=float(rule.rounds),
                text=f"{site} has no part in the last {counted(rule.rounds, 'finished round')} of "
                f"run {run.run_id}.",
                remedy="collegium coordinator status says who is silent; the run's rounds say who "
                "was left out, and why.",
            )
            for site in run.sites
            if site not in there
        ]
    return causes


def _certificate(rule: CertificateRule, ends: Sequence[Expiry], now: datetime) -> list[Cause]:
    remedies = {
        "hospitals": "collegium silo status there says why it was not renewed; a hospital whose "
        "certificate has ended is invited again.",
        "coordinator": "collegium coordinator rotate renews the issuing certificate; the service "
        "renews the server's own.",
    }
    return _expiring(rule, rule.of, remedies[rule.of], ends, now)


def _roster(rule: RosterRule, ends: Sequence[Expiry], now: datetime) -> list[Cause]:
    remedy = "collegium coordinator roster propose --renew, and its members sign it."
    return _expiring(rule, "roster", remedy, ends, now)


def _expiring(
    rule: CertificateRule | RosterRule,
    of: str,
    remedy: str,
    ends: Sequence[Expiry],
    now: datetime,
) -> list[Cause]:
    return [
        _cause(
            rule,
            f"{of}/{one.name}",
            sites=() if one.site is None else (one.site,),
            threshold=rule.days,
            until=write_time(one.ends),
            text=f"The {one.name} {'ended' if one.ends <= now else 'ends'} at "
            f"{write_time(one.ends)}.",
            remedy=remedy,
        )
        for one in ends
        if one.of == of and one.ends - now < timedelta(days=rule.days)
    ]


def _verification(rule: VerificationRule, faults: int, _now: datetime) -> list[Cause]:
    if not faults:
        return []
    return [
        _cause(
            rule,
            "records",
            text=f"Verifying the records against the signed log found {counted(faults, 'fault')}.",
            remedy="collegium audit verify --out DIR says what is wrong. docs/operations.md, "
            "Incident.",
        )
    ]


def _incident(rule: IncidentRule, found: Sequence[OpenIncident], now: datetime) -> list[Cause]:
    causes = []
    for one in found:
        show = f"collegium incident show {one.number} --home DIR."
        if one.notify_by is not None and one.notify_by - now < timedelta(hours=rule.hours):
            late = "was due" if one.notify_by <= now else "is due"
            causes.append(
                _cause(
                    rule,
                    f"incident {one.number}/notification",
                    threshold=rule.hours,
                    until=write_time(one.notify_by),
                    text=f"The notification of incident {one.number} {late} at "
                    f"{write_time(one.notify_by)}.",
                    remedy=f"{show} Record who was told, or why nobody is.",
                )
            )
        if one.confirm_by is not None and one.confirm_by <= now:
            causes.append(
                _cause(
                    rule,
                    f"incident {one.number}/confirmation",
                    until=write_time(one.confirm_by),
                    text=f"The containment of incident {one.number} is unconfirmed since "
                    f"{write_time(one.confirm_by)}.",
                    remedy=f"{show} A second person looks at it: collegium incident confirm.",
                )
            )
    return causes


def _canary(rule: CanaryRule, found: Sequence[EndedCanary], _now: datetime) -> list[Cause]:
    return [
        _cause(
            rule,
            f"{one.model}/{one.version}",
            text=f"The coordinator ended the canary {one.version[:12]} of model {one.model} at "
            f"{one.at}: it was worse than the version in production at the canary's hospitals.",
            remedy=f"collegium models show {one.model} --out DIR has both figures. Another canary, "
            "or collegium models retire, closes this.",
        )
        for one in found
    ]


def _served_other(
    rule: ServedOtherRule, found: Sequence[ServedOther], _now: datetime
) -> list[Cause]:
    causes: dict[str, Cause] = {}
    for one in found:
        if one.lasted <= timedelta(hours=rule.hours):
            continue
        meant = "none" if one.expected is None else one.expected[:12]
        subject = f"{one.model}/{one.site}"
        causes[subject] = _cause(
            rule,
            subject,
            sites=(one.site,),
            threshold=rule.hours,
            text=f"{one.site} stated that it served version {one.stated[:12]} of model {one.model} "
            f"for more than {rule.hours:g} hours while it was to serve {meant}.",
            remedy=f"Ask {one.site} which model it serves, and why. Its next statement closes "
            "this: collegium models confirm-served.",
        )
    return list(causes.values())


#: By kind of rule the part of the facts that it is about, and what judges it.
_JUDGES: Mapping[type[AlertRule], tuple[str, Callable[[Any, Any, datetime], list[Cause]]]] = {
    BudgetRule: ("shares", _budget),
    DriftRule: ("drift", _drift),
    CalibrationRule: ("evaluated", _calibration),
    FairnessGapRule: ("evaluated", _fairness_gap),
    FairnessGrowthRule: ("evaluated", _fairness_growth),
    AggregateRule: ("rounds", _aggregate),
    SilenceRule: ("heard", _silence),
    AbsenceRule: ("rounds", _absence),
    CertificateRule: ("expiries", _certificate),
    RosterRule: ("expiries", _roster),
    VerificationRule: ("faults", _verification),
    IncidentRule: ("incidents", _incident),
    CanaryRule: ("canaries", _canary),
    ServedOtherRule: ("served_other", _served_other),
}
