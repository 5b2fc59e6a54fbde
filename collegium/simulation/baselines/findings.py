"""The figures of every baseline on every hospital's test patients, and what leads what by how much.

Figures are exact: nothing of them is differentially private.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collegium.simulation.baselines.plan import key_of
from compliance.estimates.interval import Interval
from compliance.facts.figures import FigureKind
from protocol.study.study import Study


@dataclass(frozen=True, kw_only=True)
class HospitalSize:
    """The number of patients a hospital trains and tests with."""

    site: str
    train_patients: int
    test_patients: int


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """The headline figure of one baseline, by hospital and of all test patients.

    Where ``trainings`` are several, each with noise and batches of its own, it is their mean.
    """

    kind: str
    site: str | None
    noised: bool
    trainings: int
    train_patients: int
    epsilon: float | None
    noise_multipliers: Mapping[str, float]
    by_site: Mapping[str, Interval]
    everybody: Interval

    @property
    def key(self) -> str:
        """The key of its baseline."""
        return key_of(self.kind, self.site, noised=self.noised)

    def on(self, tested: str | None) -> Interval:
        """Returns the figure on a hospital's test patients; of None, on all of them together."""
        return self.everybody if tested is None else self.by_site[tested]


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The lead of ``first`` over ``second`` on the same test patients.

    Attributes:
        tested: the hospital whose test patients they are; None of all together.
        first, second: keys of models.
        value: above zero ``first`` is the better one, of an error too; without bounds where there
            are too few patients for an interval.
    """

    tested: str | None
    first: str
    second: str
    value: Interval

    @property
    def verdict(self) -> str:
        """The verdict that the interval allows: better, worse, not told apart, or too few."""
        low, high = self.value.low, self.value.high
        if low is None or high is None:
            return "too few"
        if low <= 0 <= high:
            return "not told apart"
        return "better" if low > 0 else "worse"


@dataclass(frozen=True, kw_only=True)
class BaselineFindings:
    """All that a comparison with baselines found."""

    study: Study
    hospitals: tuple[HospitalSize, ...]
    headline: FigureKind
    models: tuple[ModelFigures, ...]
    leads: tuple[Lead, ...]

    @property
    def levels(self) -> tuple[bool, ...]:
        """Whether there is noise: without first, and with the study's privacy if it has any."""
        return tuple(dict.fromkeys(model.noised for model in self.models))

    def model(self, kind: str, site: str | None, *, noised: bool) -> ModelFigures:
        """Returns one model's figures."""
        return {model.key: model for model in self.models}[key_of(kind, site, noised=noised)]

    def lead(self, tested: str | None, first: str, second: str) -> Lead:
        """Returns the lead of one model over another on a hospital's patients, or on all."""
        found = {(lead.tested, lead.first, lead.second): lead for lead in self.leads}
        return found[tested, first, second]

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read; ``tested`` is null where all hospitals' patients are."""
        seeds = self.study.seeds
        return {
            "study": {"name": self.study.name, "digest": self.study.digest},
            "simulation": True,
            "figures_are": "exact: not differentially private, of simulated hospitals only",
            "figure": self.headline.name,
            "higher_is_better": self.headline.higher_is_better,
            "seed": seeds.model,
            "split_seed": seeds.split,
            "hospitals": [vars(size) for size in self.hospitals],
            "models": [_model_json(model) for model in self.models],
            "leads": [
                {
                    "tested": lead.tested,
                    "first": lead.first,
                    "second": lead.second,
                    **_interval_json(lead.value),
                    "verdict": lead.verdict,
                }
                for lead in self.leads
            ],
        }


def _model_json(model: ModelFigures) -> dict[str, Any]:
    return {
        "model": model.key,
        "kind": model.kind,
        "site": model.site,
        "noise": model.noised,
        "trainings": model.trainings,
        "train_patients": model.train_patients,
        "epsilon": model.epsilon,
        "noise_multipliers": dict(model.noise_multipliers),
        "on": [
            *({"tested": site, **_interval_json(own)} for site, own in model.by_site.items()),
            {"tested": None, **_interval_json(model.everybody)},
        ],
    }


def _interval_json(interval: Interval) -> dict[str, Any]:
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "note": interval.note,
    }
