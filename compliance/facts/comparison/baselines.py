"""A federation beside its baselines: figures on every hospital's test patients, and what leads.

Figures are exact: nothing of them is differentially private. What is written as JSON is read back
strictly, so that a page made of the file says what the first one said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import model_validator

from compliance.estimates.interval import Interval
from compliance.facts.comparison.kept_findings import interval_from, read_back
from compliance.facts.figures import FigureKind, figure_kind
from protocol.study.frozen_model import FrozenModel
from protocol.study.study import Study

#: The file of a comparison, in the folder that it was written to.
BASELINES_FILE = "baselines.json"
#: Whose records a training sees.
LOCAL, FEDERATED, POOLED, ALL_BUT = "local", "federated", "pooled", "all_but"


def key_of(kind: str, site: str | None, *, noised: bool) -> str:
    """Returns the key of a training.

    >>> key_of("local", "va", noised=True), key_of("pooled", None, noised=False)
    ('local/va with noise', 'pooled without noise')
    """
    name = kind if site is None else f"{kind}/{site}"
    return f"{name} with noise" if noised else f"{name} without noise"


def text_of(kind: str, site: str | None) -> str:
    """Returns whose records a training sees, for people.

    >>> text_of("local", "va"), text_of("all_but", "va"), text_of("pooled", None)
    ('va alone', 'all but va', 'pooled records')
    """
    if kind == LOCAL:
        return f"{site} alone"
    if kind == ALL_BUT:
        return f"all but {site}"
    return "pooled records" if kind == POOLED else "federated"


def noise_text(*, noised: bool) -> str:
    """Returns how a training protects patients, for people."""
    return "with the study's privacy" if noised else "without noise"


class ComparedStudy(FrozenModel, strict=True):
    """The study whose trainings were compared, as far as a reader has to know it."""

    name: str
    title: str
    digest: str
    strategy: str
    steps: int
    privacy: str  # its mode
    clip: float | None
    seed: int
    split_seed: int

    @classmethod
    def of(cls, study: Study) -> "ComparedStudy":
        """Returns what there is to know of a study."""
        return cls(
            name=study.name,
            title=study.title,
            digest=study.digest,
            strategy=study.training.strategy,
            steps=study.training.steps,
            privacy=study.privacy.mode,
            clip=study.privacy.clip,
            seed=study.seeds.model,
            split_seed=study.seeds.split,
        )


class HospitalSize(FrozenModel, strict=True):
    """The number of patients a hospital trains and tests with."""

    site: str
    train_patients: int
    test_patients: int


class ModelFigures(FrozenModel, strict=True):
    """The headline figure of one baseline, by hospital and of all test patients.

    Where ``trainings`` are several, each with noise and batches of its own, it is their mean.
    """

    kind: str
    site: str | None
    noised: bool
    trainings: int
    train_patients: int
    epsilon: float | None
    noise_multipliers: dict[str, float]
    by_site: dict[str, Interval]
    everybody: Interval

    @property
    def key(self) -> str:
        """The key of its baseline."""
        return key_of(self.kind, self.site, noised=self.noised)


class Lead(FrozenModel, strict=True):
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


class BaselineFindings(FrozenModel, strict=True):
    """All that a comparison with baselines found.

    Attributes:
        study: what was trained.
        figure: the name of the headline figure.
        too_few: in words, of whom a difference has no interval.
        hospitals: in the study's order.
        models: of each level of noise every baseline.
        leads: of one model over another.
    """

    study: ComparedStudy
    figure: str
    too_few: str
    hospitals: tuple[HospitalSize, ...]
    models: tuple[ModelFigures, ...]
    leads: tuple[Lead, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> "BaselineFindings":
        """Refuses a comparison that lacks a model, a hospital's figure, or what a lead is about."""
        keys = {model.key for model in self.models}
        whole = {
            key_of(kind, site, noised=noised)
            for noised in self.levels
            for kind, site in (
                (FEDERATED, None),
                (POOLED, None),
                *((kind, site) for site in self.sites for kind in (LOCAL, ALL_BUT)),
            )
        }
        named = {key for lead in self.leads for key in (lead.first, lead.second)}
        tested = {lead.tested for lead in self.leads}
        if (
            not self.models
            or len(keys) < len(self.models)
            or keys != whole
            or any(tuple(model.by_site) != self.sites for model in self.models)
            or not named <= keys
            or not tested <= {*self.sites, None}
        ):
            raise ValueError("models, hospitals and leads do not belong together")
        return self

    @property
    def sites(self) -> tuple[str, ...]:
        """The hospitals' names."""
        return tuple(size.site for size in self.hospitals)

    @property
    def headline(self) -> FigureKind:
        """The figure that models are compared by."""
        return figure_kind(self.figure)

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
        seeds = {"seed", "split_seed"}
        return {
            "study": self.study.model_dump(exclude=seeds),
            **self.study.model_dump(include=seeds),
            "simulation": True,
            "figures_are": "exact: not differentially private, of simulated hospitals only",
            "figure": self.figure,
            "higher_is_better": self.headline.higher_is_better,
            "too_few": self.too_few,
            "hospitals": [size.model_dump() for size in self.hospitals],
            "models": [_model_json(model) for model in self.models],
            "leads": [
                {
                    "tested": lead.tested,
                    "first": lead.first,
                    "second": lead.second,
                    **asdict(lead.value),
                    "verdict": lead.verdict,
                }
                for lead in self.leads
            ],
        }

    @classmethod
    def from_json(cls, kept: Any) -> "BaselineFindings":
        """Returns the findings that ``to_json`` gave.

        Raises:
            ValueError: these are none: something is missing, unknown, of another type, or does
                not agree with the rest.
        """
        return read_back(cls._made_of, kept)

    @classmethod
    def _made_of(cls, kept: Any) -> "BaselineFindings":
        return cls(
            study=ComparedStudy(
                **kept["study"], seed=kept["seed"], split_seed=kept["split_seed"]
            ),
            figure=kept["figure"],
            too_few=kept["too_few"],
            hospitals=tuple(HospitalSize(**size) for size in kept["hospitals"]),
            models=tuple(_model_from(model) for model in kept["models"]),
            leads=tuple(
                Lead(
                    tested=lead["tested"], first=lead["first"], second=lead["second"],
                    value=interval_from(lead),
                )
                for lead in kept["leads"]
            ),
        )  # fmt: skip


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
            *({"tested": site, **asdict(own)} for site, own in model.by_site.items()),
            {"tested": None, **asdict(model.everybody)},
        ],
    }


def _model_from(kept: Mapping[str, Any]) -> ModelFigures:
    on: Sequence[Mapping[str, Any]] = kept["on"]
    return ModelFigures(
        kind=kept["kind"],
        site=kept["site"],
        noised=kept["noise"],
        trainings=kept["trainings"],
        train_patients=kept["train_patients"],
        epsilon=kept["epsilon"],
        noise_multipliers=kept["noise_multipliers"],
        by_site={one["tested"]: interval_from(one) for one in on[:-1]},
        everybody=interval_from(on[-1]),
    )
