"""The figures of every strategy on every hospital's test patients, and what each one costs.

Figures are exact: nothing of them is differentially private.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.figures import FigureKind
from protocol.study.study import Study


@dataclass(frozen=True, kw_only=True)
class StrategyFigures:
    """The headline figure of one strategy: the mean over its trainings, one for each seed.

    Attributes:
        name: as it was asked for.
        by_site, everybody: on each hospital's test patients, and on all together; of a strategy
            with own models each hospital's patients are scored by its own.
        lead: over the first strategy on all test patients; above zero this one is better.
        epsilon: of the training, the largest for any patient; None without privacy.
        bytes_up, bytes_down: what a hospital sends and is sent in a round, beside keys; None of
            pooled records.
        seconds: of one training, in one process.
    """

    name: str
    own_models: bool
    by_site: Mapping[str, Interval]
    everybody: Interval
    lead: Interval | None
    epsilon: float | None
    bytes_up: int | None
    bytes_down: int | None
    seconds: float

    def extreme(self, figure: FigureKind, *, best: bool) -> tuple[str, float] | None:
        """Returns the hospital with the best or the worst figure; None where none has one."""
        known = {site: one.value for site, one in self.by_site.items() if one.value is not None}
        if not known:
            return None
        take = max if best == figure.higher_is_better else min
        site = take(known, key=known.__getitem__)
        return site, known[site]


@dataclass(frozen=True, kw_only=True)
class ComparisonFindings:
    """All that a comparison of strategies found; pooled records are the last."""

    study: Study
    seeds: tuple[int, ...]
    headline: FigureKind
    strategies: tuple[StrategyFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read."""
        return {
            "study": {"name": self.study.name, "digest": self.study.digest},
            "simulation": True,
            "figures_are": "exact: not differentially private, of simulated hospitals only",
            "figure": self.headline.name,
            "seeds": list(self.seeds),
            "strategies": [
                {
                    "name": one.name,
                    "own_models": one.own_models,
                    "everybody": asdict(one.everybody),
                    "lead": None if one.lead is None else asdict(one.lead),
                    "worst": self._extreme(one, best=False),
                    "best": self._extreme(one, best=True),
                    "sites": {site: asdict(found) for site, found in one.by_site.items()},
                    "epsilon": one.epsilon,
                    "bytes_up": one.bytes_up,
                    "bytes_down": one.bytes_down,
                    "seconds": one.seconds,
                }
                for one in self.strategies
            ],
        }

    def _extreme(self, one: StrategyFigures, *, best: bool) -> dict[str, Any] | None:
        found = one.extreme(self.headline, best=best)
        return None if found is None else {"site": found[0], "value": found[1]}
