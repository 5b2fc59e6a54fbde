"""Strategies on the same hospitals: each one's figures on their test patients, and its cost.

Figures are exact: nothing of them is differentially private. What is written as JSON is read back
strictly, so that a page made of the file says what the first one said.
"""

from dataclasses import asdict
from typing import Any

from pydantic import model_validator

from compliance.estimates.interval import Interval
from compliance.facts.comparison.baselines import ComparedStudy
from compliance.facts.comparison.kept_findings import interval_from, read_back
from compliance.facts.figures import FigureKind, figure_kind
from protocol.study.frozen_model import FrozenModel

#: The file of a comparison of strategies, in the folder that it was written to.
STRATEGIES_FILE = "comparison.json"
#: What a reader of the file has to know of the study.
_STUDY = ("name", "title", "digest")


class StrategyFigures(FrozenModel, strict=True):
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
    by_site: dict[str, Interval]
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


class ComparisonFindings(FrozenModel, strict=True):
    """All that a comparison of strategies found; pooled records are the last.

    Attributes:
        study: what was trained.
        figure: the name of the headline figure.
        seeds: of the trainings.
        strategies: in the order asked for.
    """

    study: ComparedStudy
    figure: str
    seeds: tuple[int, ...]
    strategies: tuple[StrategyFigures, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> "ComparisonFindings":
        """Refuses a comparison without a strategy, or with other hospitals for one of them."""
        names = [one.name for one in self.strategies]
        if not names or len(set(names)) < len(names):
            raise ValueError("every strategy stands once")
        if any(tuple(one.by_site) != self.sites for one in self.strategies):
            raise ValueError("every strategy has a figure of every hospital")
        return self

    @property
    def headline(self) -> FigureKind:
        """The figure that strategies are compared by."""
        return figure_kind(self.figure)

    @property
    def sites(self) -> tuple[str, ...]:
        """The hospitals' names."""
        return tuple(self.strategies[0].by_site)

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read."""
        return {
            "study": self.study.model_dump(),
            "simulation": True,
            "figures_are": "exact: not differentially private, of simulated hospitals only",
            "figure": self.figure,
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

    @classmethod
    def from_json(cls, kept: Any) -> "ComparisonFindings":
        """Returns the findings that ``to_json`` gave.

        Raises:
            ValueError: these are none: something is missing, unknown, of another type, or does
                not agree with the rest.
        """
        return read_back(cls._made_of, kept)

    @classmethod
    def _made_of(cls, kept: Any) -> "ComparisonFindings":
        return cls(
            study=ComparedStudy(**kept["study"]),
            figure=kept["figure"],
            seeds=tuple(kept["seeds"]),
            strategies=tuple(
                StrategyFigures(
                    name=one["name"], own_models=one["own_models"],
                    by_site={site: interval_from(own) for site, own in one["sites"].items()},
                    everybody=interval_from(one["everybody"]),
                    lead=None if one["lead"] is None else interval_from(one["lead"]),
                    epsilon=one["epsilon"], bytes_up=one["bytes_up"],
                    bytes_down=one["bytes_down"], seconds=one["seconds"],
                )
                for one in kept["strategies"]
            ),
        )  # fmt: skip
