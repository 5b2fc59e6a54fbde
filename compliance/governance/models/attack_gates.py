"""Gates that attacks on a version's run are judged by: membership and extraction.

A figure fails a gate where it is *shown* to lie above the line's threshold: its interval's lower
end does. Of several attacks the one that showed most counts, so that attacking again hides nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

from compliance.facts.dossier import (
    ADVANTAGE,
    EXTRACTION,
    AttackFigure,
    RedTeamFacts,
    strongest_figures,
)
from compliance.governance.models.gate import Gate, GateResult


def membership_gate(attacks: Sequence[RedTeamFacts], largest: float) -> Gate:
    """Returns whether red teams contradict the claim, or can tell who was a training patient."""
    if any(one.contradicted for one in attacks):
        return Gate(
            name="red-team",
            result=GateResult.FAILED,
            said="a red team's findings contradict the claim",
        )
    gate = _judged(attacks, "red-team", (ADVANTAGE,), largest)
    if gate.result is not GateResult.PASSED:
        return gate
    return replace(gate, said=f"nothing that a red team found contradicts the claim; {gate.said}")


def extraction_gate(attacks: Sequence[RedTeamFacts], largest: float) -> Gate:
    """Returns whether single records can be extracted from the model."""
    return _judged(attacks, "extraction", EXTRACTION, largest)


def _judged(
    attacks: Sequence[RedTeamFacts], name: str, figures: tuple[str, ...], largest: float
) -> Gate:
    """Returns a gate of figures of attacks: failed where one is shown to lie above a limit."""
    if not attacks:
        return Gate(
            name=name,
            result=GateResult.OPEN,
            said="no red team has attacked the run: collegium models attack",
        )
    found = [one for one in strongest_figures(attacks) if one.kind.name in figures]
    measured = [one for one in found if one.shown_least is not None]
    if not measured:
        return Gate(name=name, result=GateResult.OPEN, said="; ".join(map(_told, found)))
    above = [one for one in measured if (one.shown_least or 0.0) > largest]
    on = " on drawn records: the run's own model was not attacked" * any(
        one.stand_in for one in attacks
    )
    return Gate(
        name=name,
        result=GateResult.FAILED if above else GateResult.PASSED,
        said=f"{'; '.join(map(_told, above or found))}; at most {largest:g} is allowed, by the "
        f"lower end of the interval{on}",
    )


def _told(figure: AttackFigure) -> str:
    return f"{figure.kind.title[:1].lower()}{figure.kind.title[1:]}: {figure.text}"
