"""ComparisonFindings of a comparison of strategies, with figures that are made up."""

from collections.abc import Sequence

from compliance.estimates.interval import Interval
from compliance.facts.comparison.baselines import ComparedStudy
from compliance.facts.comparison.strategies import ComparisonFindings, StrategyFigures
from tests.support.simulated.studies import small_study


def compared_strategies(*leads: tuple[float | None, float | None]) -> ComparisonFindings:
    """Returns a first strategy and others, ``s0``, ``s1`` ..., each with the ends of its lead."""
    others = [
        _figures(f"s{place}", Interval(value=0.0, low=low, high=high))
        for place, (low, high) in enumerate(leads)
    ]
    return ComparisonFindings(
        study=ComparedStudy.of(small_study()),
        figure="auroc",
        seeds=(1,),
        strategies=(_figures("first", None), *others),
    )


def _figures(name: str, lead: Interval | None) -> StrategyFigures:
    value = Interval(value=0.8, low=0.7, high=0.9)
    return StrategyFigures(
        name=name, own_models=False, everybody=value,
        by_site=dict.fromkeys(small_study().site_names, value), lead=lead, epsilon=None,
        bytes_up=1, bytes_down=1, seconds=1.0,
    )  # fmt: skip


def damaged(kept: dict[str, object]) -> Sequence[dict[str, object]]:
    """Returns what is almost what ``to_json`` gave: a comparison that lacks or adds something."""
    return (
        kept | {"seeds": ["1"]},
        kept | {"more": 1},
        kept | {"strategies": []},
        kept | {"figure": 3},
        {key: value for key, value in kept.items() if key != "study"},
    )
