"""Warnings about a model that is no use, or whose risks are wrong, from known figures.

One place for page, report, terminal and ``--json``. Each sentence is a finding, a colon, and
what to do. A figure that was withheld says nothing, and an interval must leave no doubt.
"""

from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.interval import Interval
from compliance.facts.figures import AUROC, FigureKind

_ADVICE = "collegium study plan advises learning rate, clip and steps."
#: Of tasks that ``study plan`` does not know.
_OTHER_ADVICE = "try another learning rate and clip, or more steps, with collegium sweep."
#: Where each hospital's patients are scored by its own model.
_OWN = "This is of the hospitals' own models, all together, and not of the global one."
#: Below this sensitivity at a risk of 0.5 the threshold is warned about.
_FEW_FOUND = 0.1


def model_warnings(
    exact: float | None,
    released: Interval | None,
    risks: RiskFigures | None,
    figure: FigureKind = AUROC,
    threshold: float = 0.5,
    *,
    own_models: bool = False,
) -> tuple[str, ...]:
    """Returns the warnings about a model; none where nothing is known against it.

    Args:
        exact: its exact headline figure, in a simulation; then the released one is not asked.
        released: its released headline figure.
        risks: what the released counts say of its risks.
        figure: the kind of the headline figure.
        threshold: the risk above which a patient is called ill.
        own_models: whether the figures are of hospitals' own models on their own patients.
    """
    order = _of_exact(exact, figure) if exact is not None else _of_released(released, figure)
    found = [said for said in (order, *_of_risks(risks, threshold)) if said is not None]
    return tuple(f"{said} {_OWN}" if own_models else said for said in found)


def _of_exact(value: float, figure: FigureKind) -> str | None:
    found = f"({figure.title} {value:.3f})"
    if figure.chance is not None and figure.lead(value, figure.chance) < 0:
        return f"The model {figure.worse} {found}: {_advice(figure)}"
    if figure.is_next_to_chance(value):
        return f"The model has learned next to nothing {found}: {_advice(figure)}"
    return None


def _of_released(released: Interval | None, figure: FigureKind) -> str | None:
    if released is None or released.low is None or released.high is None or figure.chance is None:
        return None
    found = f"({figure.title} {released.low:.2f} to {released.high:.2f})"
    leads = [figure.lead(end, figure.chance) for end in (released.low, released.high)]
    if max(leads) < 0:
        return f"The model {figure.worse} {found}: {_advice(figure)}"
    if min(leads) <= 0:
        return (
            f"The model cannot be distinguished from chance {found}: more test patients or a "
            f"larger epsilon would show more; {_advice(figure)}"
        )
    return None


def _advice(figure: FigureKind) -> str:
    return _ADVICE if figure is AUROC else _OTHER_ADVICE


def _of_risks(risks: RiskFigures | None, threshold: float) -> tuple[str | None, ...]:
    if risks is None:
        return ()
    return _of_mean(risks), _of_threshold(risks, threshold), _of_brier(risks)


def _of_mean(risks: RiskFigures) -> str | None:
    lacking = risks.lacking
    if not risks.contradict or lacking.low is None or lacking.high is None:
        return None
    too = "low" if lacking.low > 0 else "high"
    off = sorted(abs(bound) for bound in (lacking.low, lacking.high))
    found = (
        f"The model's risks are too {too} ({risks.mean_risk.value:.2f} in the mean, while "
        f"{risks.ill.value:.2f} of the patients are ill; off by {off[0]:.2f} to {off[1]:.2f})"
    )
    if risks.shift is None:
        return f"{found}: use it to order patients only."
    return (
        f"{found}: add {risks.shift:+.2f} to its output, the logit, before it is read as a risk. "
        "That follows from the released counts, costs no privacy and leaves the AUROC as it is."
    )


def _of_threshold(risks: RiskFigures, threshold: float) -> str | None:
    most = risks.sensitivity.high
    if most is None or most >= _FEW_FOUND:
        return None
    return (
        f"At a risk of {threshold:g} the model finds fewer than a tenth of the ill (sensitivity "
        f"{_between(risks.sensitivity)}): choose a threshold near the share of the ill; the "
        "AUROC does not depend on it."
    )


def _of_brier(risks: RiskFigures) -> str | None:
    least = risks.excess_brier.low
    if least is None or least <= 0 or (risks.contradict and risks.shift is not None):
        return None  # where a correction is given, this follows from what it corrects
    return (
        "The model's risks are worse than giving every patient the share of the ill (Brier score "
        f"{_between(risks.excess_brier)} above): use it to order patients only; {_ADVICE}"
    )


def _between(found: Interval) -> str:
    return f"{found.low:.2f} to {found.high:.2f}"
