"""Facts that have every cause of an alert, facts that have none, and rules of every kind."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.interval import Interval
from compliance.estimates.largest_gap import LargestGap
from coordinator.alerts.default_rules import DEFAULT_RULES
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
from coordinator.alerts.rules import AlertRules, read_rules

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RULES: AlertRules = read_rules(DEFAULT_RULES)


def only(kind: str, **given: object) -> AlertRules:
    """Returns the rules by default of one kind, the first of it, with other settings."""
    rule = next(one for one in RULES.rules if one.kind == kind)
    return RULES.model_copy(update={"rules": (rule.model_copy(update=given),)})


def share(site: str, value: float) -> SignedShare:
    return SignedShare(site=site, run_id="run-9", study="heart", share=value)


def risks(lacking: Interval) -> RiskFigures:
    """Returns risks of which only the mean is off, by so much."""
    known = Interval(value=0.4, low=0.35, high=0.45)
    return RiskFigures(
        ill=known, mean_risk=known, lacking=lacking, sensitivity=known, excess_brier=known
    )


def gap(low: float, value: float, high: float) -> LargestGap:
    return LargestGap(
        highest="north",
        lowest="south",
        value=value,
        low=low,
        high=high,
        detectable=0.1,
        detectable_here=0.1,
        groups=3,
    )


def run(name: str, **given: Any) -> EvaluatedRun:
    return EvaluatedRun(**{"run_id": name, "study": "heart", "question": "q", **given})


def rounds(**given: Any) -> RunRounds:
    there = frozenset({"north", "south", "west"})
    plain: dict[str, Any] = {
        "run_id": "run-9", "study": "heart", "sites": ("north", "south", "west"), "refused": 0,
        "suspects": (), "finished": (there,) * 5,
    }  # fmt: skip
    return RunRounds(**{**plain, **given})


def reading(release: int, *, flagged: bool) -> DriftReading:
    return DriftReading(
        study="heart", run_id=f"run-{release}", watched="creatinine", release=release,
        statistic=0.4, threshold=0.2, flagged=flagged,
    )  # fmt: skip


def ends(of: str, name: str, days: float) -> Expiry:
    site = "north" if of == "hospitals" else None
    return Expiry(of=of, name=name, site=site, ends=NOW + timedelta(days=days))


def incident(notify: float | None, confirm: float | None = None) -> OpenIncident:
    """Returns an incident with so many hours left to each."""
    notify_by, confirm_by = (
        None if hours is None else NOW + timedelta(hours=hours) for hours in (notify, confirm)
    )
    return OpenIncident(number=4, notify_by=notify_by, confirm_by=confirm_by)


def other(hours: float) -> ServedOther:
    """Returns that a hospital served another version for so long."""
    return ServedOther(
        model="heart", site="north", expected="a" * 64, stated="b" * 64,
        lasted=timedelta(hours=hours),
    )  # fmt: skip


#: Facts of which no rule by default makes anything.
CALM = AlertFacts(
    now=NOW,
    shares=(share("north", 0.2), share("south", 0.79)),
    evaluated=(
        run("run-9", risks=risks(Interval(value=0.0, low=-0.02, high=0.02)),
            gaps={"auroc": gap(0.0, 0.1, 0.3)}),
        run("run-8", gaps={"auroc": gap(0.0, 0.1, 0.3)}),
    ),
    rounds=(rounds(),),
    drift=(reading(1, flagged=True), reading(2, flagged=False)),
    heard={"north": NOW, "south": NOW - timedelta(minutes=59)},
    expiries=(ends("hospitals", "certificate of north", 3), ends("coordinator", "root", 100),
              ends("roster", "roster 1", 200)),
    faults=0,
    incidents=(incident(25, confirm=1), incident(None)),
    canaries=(),
    served_other=(other(23),),
)  # fmt: skip

#: By kind, what has to change for its alert.
TROUBLE: Mapping[str, Mapping[str, Any]] = {
    "budget": {"shares": (share("north", 0.8), share("south", 0.2))},
    "drift": {"drift": (reading(1, flagged=False), reading(2, flagged=True))},
    "calibration": {
        "evaluated": (run("run-9", risks=risks(Interval(value=0.1, low=0.05, high=0.15))),)
    },
    "fairness_gap": {"evaluated": (run("run-9", gaps={"auroc": gap(0.11, 0.2, 0.3)}),)},
    "fairness_gap_grown": {
        "evaluated": (
            run("run-9", gaps={"auroc": gap(0.09, 0.15, 0.3)}),
            run("run-8", gaps={"auroc": gap(0.0, 0.02, 0.08)}),
        )
    },
    "aggregate": {"rounds": (rounds(refused=1, suspects=("north", "south")),)},
    "silent": {"heard": {"north": NOW, "south": NOW - timedelta(minutes=61)}},
    "absent": {"rounds": (rounds(finished=(frozenset({"north", "south"}),) * 3),)},
    "certificate": {
        "expiries": (ends("hospitals", "certificate of north", 0.5), ends("coordinator", "i", 2))
    },
    "roster": {"expiries": (ends("roster", "roster 1", 29),)},
    "verification": {"faults": 2},
    "canary": {
        "canaries": (EndedCanary(model="heart", version="c" * 64, at="2026-05-01T00:00:00.000Z"),)
    },
    "served_other": {"served_other": (other(25),)},
    "incident": {"incidents": (incident(23), incident(40, confirm=-1))},
}


def troubled(kind: str) -> AlertFacts:
    """Returns facts that have one kind's cause, and no other's."""
    return replace(CALM, **TROUBLE[kind])


#: All at once.
EVERYTHING = replace(
    CALM,
    **{
        field.name: sum(
            (found[field.name] for found in TROUBLE.values() if field.name in found), ()
        )
        for field in fields(AlertFacts)
        if field.name
        in (
            "shares",
            "evaluated",
            "rounds",
            "drift",
            "expiries",
            "incidents",
            "canaries",
            "served_other",
        )
    },
    heard=TROUBLE["silent"]["heard"],
    faults=2,
)
