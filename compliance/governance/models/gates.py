"""Gates between the stages of a model's version: what it must show, judged by released figures.

Rules:

1. A gate is passed, failed or open. An open one lacks what it would be judged by; it keeps a
   version back like a failed one, but is no finding against it.
2. A version that is *worse* than the one in production (``comparison.py``) is kept back.
3. What attacks find fails a gate where it is shown to lie above a threshold: the interval's lower
   end does. Of several attacks the one that showed most counts.
4. The thresholds are a line's own. They stand in the log before the versions that they judge.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.dossier import RedTeamFacts
from compliance.governance.models.attack_gates import extraction_gate, membership_gate
from compliance.governance.models.comparison import CanaryFigures, canary_verdict, improvement
from compliance.governance.models.gate import Gate, GateResult
from protocol.errors import MessageRefused


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """The thresholds of a line.

    Attributes:
        least: what the figure must reach, by its released value (of an error, what it must not
            exceed); None asks for nothing.
        margin: by how much a version may be worse than the one in production.
        largest_gap: the largest gap between hospitals that is allowed, by its released value; None
            asks for nothing.
        red_team: whether a red team must have attacked the run, and found little enough.
        largest_advantage: the largest advantage of a membership attack that is allowed.
        largest_exposure: the largest exposure of records that is allowed, in bits beyond what is
            said of records that nobody trained on.
        canary_evaluation: whether a canary must have been evaluated at its hospitals before it is
            promoted.

    Raises:
        ValueError: a threshold is out of range.
    """

    least: float | None = None
    margin: float = 0.02
    largest_gap: float | None = None
    red_team: bool = True
    canary_evaluation: bool = True
    largest_advantage: float = 0.1
    largest_exposure: float = 0.5

    def __post_init__(self) -> None:
        named = {
            "least": self.least,
            "margin": self.margin,
            "largest_gap": self.largest_gap,
            "largest_advantage": self.largest_advantage,
            "largest_exposure": self.largest_exposure,
        }
        for name, value in named.items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is a number, 0 or more")

    def to_json(self) -> dict[str, Any]:
        """Returns the rules as they are kept; the inverse of ``read_rules``."""
        return asdict(self)


def read_rules(said: Mapping[str, Any]) -> GateRules:
    """Returns the rules that JSON holds.

    Raises:
        MessageRefused: it holds others.
    """
    try:
        return GateRules(**said)
    except (TypeError, ValueError) as error:
        raise MessageRefused(f"the thresholds of a model's gates are others: {error}") from error


@dataclass(frozen=True, kw_only=True)
class GateFacts:
    """Facts that gates are judged by: of the version's run, and of the version in production.

    Attributes:
        signatures, quorum: how many hospitals signed the snapshot, how many must.
        protects: whether the run's noise protects patients: it is neither a test's nor none.
        figure: what the headline is called.
        higher_is_better: False where it is an error.
        headline: the released figure of all hospitals; None where none was released.
        production: the same of the version in production; None where none is, or of another task.
        gap: the released largest gap between hospitals; None where none was released.
        gap_figure: the title of the figure whose gap it is; the headline where it is empty.
        gap_without: the hospitals of the run whose figures are not known, so not in the gap.
        attacks: what red teams found about the run; none where none attacked.
        canary: how the canary does at its hospitals; None where the version is no canary.
    """

    signatures: int
    quorum: int
    protects: bool
    figure: str
    headline: Interval | None
    higher_is_better: bool = True
    production: Interval | None = None
    gap: float | None = None
    gap_figure: str = ""
    gap_without: tuple[str, ...] = ()
    attacks: tuple[RedTeamFacts, ...] = ()
    canary: CanaryFigures | None = None


def judge(facts: GateFacts, rules: GateRules) -> tuple[Gate, ...]:
    """Returns every gate of a version, in the order in which people read them."""
    contradicted = not rules.red_team and any(one.contradicted for one in facts.attacks)
    gates = [_signed(facts), _contradicted() if contradicted else _protected(facts)]
    if rules.red_team:
        gates += [
            membership_gate(facts.attacks, rules.largest_advantage),
            extraction_gate(facts.attacks, rules.largest_exposure),
        ]
    if rules.least is not None:
        gates.append(_useful(facts, rules.least))
    if facts.production is not None:
        gates.append(_no_worse(facts, facts.production, rules.margin))
    if rules.largest_gap is not None:
        gates.append(_fair(facts, rules.largest_gap))
    if rules.canary_evaluation and facts.canary is not None:
        gates.append(_tried(facts, facts.canary, rules.margin))
    return tuple(gates)


def _signed(facts: GateFacts) -> Gate:
    enough = facts.signatures >= facts.quorum
    return Gate(
        name="signatures",
        result=GateResult.PASSED if enough else GateResult.OPEN,
        said=f"{facts.signatures} hospitals have signed the snapshot, {facts.quorum} must",
    )


def _protected(facts: GateFacts) -> Gate:
    return Gate(
        name="privacy",
        result=GateResult.PASSED if facts.protects else GateResult.FAILED,
        said="every hospital promised its patients differential privacy, with secret noise"
        if facts.protects
        else "a hospital trained without privacy, or with a test's noise: for nobody's patients",
    )


def _contradicted() -> Gate:
    """Returns the gate for privacy of a claim that does not hold, where no red team is asked for.

    A model that asks for no red team need not be attacked; what one has found counts all the same.
    """
    return Gate(
        name="privacy",
        result=GateResult.FAILED,
        said="a red team's findings contradict the claim",
    )


def _useful(facts: GateFacts, least: float) -> Gate:
    value = None if facts.headline is None else facts.headline.value
    if value is None:
        return Gate(name="utility", result=GateResult.OPEN, said=f"no {facts.figure} was released")
    reaches = value >= least if facts.higher_is_better else value <= least
    asked = "at least" if facts.higher_is_better else "at most"
    return Gate(
        name="utility",
        result=GateResult.PASSED if reaches else GateResult.FAILED,
        said=f"{facts.figure} {value:.3f}, {asked} {least:.3f} is asked for",
    )


def _no_worse(facts: GateFacts, production: Interval, margin: float) -> Gate:
    better = facts.higher_is_better
    found = (
        None
        if facts.headline is None
        else improvement(facts.headline, production, higher_is_better=better)
    )
    if found is None:
        return Gate(
            name="regression",
            result=GateResult.OPEN,
            said=f"no {facts.figure} was released to compare with the version in production",
        )
    return Gate(
        name="regression",
        result=GateResult.FAILED if found.is_worse(margin) else GateResult.PASSED,
        said=f"{facts.figure} is {'worse' if found.value < 0 else 'better'} by "
        f"{abs(found.value):.3f} (+/- {found.half:.3f}) than that of the version in production; a "
        f"regression is worse by more than {margin:.3f}, or shown to be worse at all",
    )


def _tried(facts: GateFacts, found: CanaryFigures, margin: float) -> Gate:
    sites = ", ".join(found.sites)
    if not found.is_complete:
        return Gate(
            name="canary",
            result=GateResult.OPEN,
            said=f"the canary{' and the version in production' * found.compares} "
            f"{'were not both' if found.compares else 'was not'} evaluated at {sites} since it "
            "began: collegium models shadow",
        )
    result, said = canary_verdict(
        found, figure=facts.figure, higher_is_better=facts.higher_is_better, margin=margin
    )
    return Gate(name="canary", result=result, said=said)


def _fair(facts: GateFacts, largest: float) -> Gate:
    if facts.gap is None:
        return Gate(
            name="fairness",
            result=GateResult.OPEN,
            said=f"no gap of {facts.figure} between hospitals was released",
        )
    return Gate(
        name="fairness",
        result=GateResult.PASSED if facts.gap <= largest else GateResult.FAILED,
        said=f"the largest gap of {facts.gap_figure or facts.figure} between hospitals is "
        f"{facts.gap:.3f}, at most {largest:.3f} is allowed"
        + (f"; of {', '.join(facts.gap_without)} nothing is known" if facts.gap_without else ""),
    )
