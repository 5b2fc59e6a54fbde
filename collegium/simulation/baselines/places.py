"""Figures of models, and paired leads, on each hospital's test patients and on all together."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from collegium.simulation.baselines.scoring import Floats
from compliance.estimates.interval import Interval
from compliance.facts.figures import TASK_FIGURES
from pipelines.evaluation.compared_models import Pair, compared_models, why_not_available
from pipelines.evaluation.exact_intervals import ExactFigure
from pipelines.tasks.registry import task_of
from protocol.study.study import Study

#: A hospital's name; None for all hospitals' test patients together.
Place: TypeAlias = str | None


@dataclass(frozen=True, kw_only=True)
class JudgedPlaces:
    """The headline figures of models by place and name, and the leads by place and pair."""

    figures: Mapping[Place, Mapping[str, Interval]]
    leads: Mapping[tuple[Place, Pair], Interval]


def judged_places(
    study: Study,
    labels: Mapping[str, Floats],
    trainings: Mapping[str, Sequence[Mapping[str, Floats]]],
    *,
    pairs: Callable[[Place], Sequence[Pair]],
    random: Collection[str],
    too_few: str,
) -> JudgedPlaces:
    """Returns what models reach everywhere; of a pair with an unknown model there is no lead.

    Args:
        study: what is trained.
        labels: of every hospital's test patients.
        trainings: by a model's name, the scores of each of its trainings by hospital.
        pairs: the leads that are asked for at a place.
        random: the names of those whose trainings differ.
        too_few: why a lead is not known.
    """
    headline = TASK_FIGURES[study.task.kind].headline
    exact = task_of(study.task, study.cohort).exact
    figures: dict[Place, dict[str, Interval]] = {}
    leads: dict[tuple[Place, Pair], Interval] = {}
    places: dict[Place, list[str]] = {site: [site] for site in study.site_names}
    for place, parts in {**places, None: [*study.site_names]}.items():
        own = np.concatenate([labels[site] for site in parts])
        scores = {
            name: [np.concatenate([one[site] for site in parts]) for one in models]
            for name, models in trainings.items()
        }
        asked = [pair for pair in pairs(place) if set(pair) <= set(scores)]
        found = compared_models(
            scores,
            own,
            exact=exact,
            headline=headline,
            pairs=asked,
            seed=study.seeds.model,
            random=random,
        )
        figures[place] = {
            name: _interval(
                found.figures[name][headline.name],
                why_not_available(study.task.kind, np.stack(scores[name]), own),
            )
            for name in scores
        }
        leads |= {(place, pair): _interval(found.leads[pair], too_few) for pair in asked}
    return JudgedPlaces(figures=figures, leads=leads)


def _interval(found: ExactFigure, why: str) -> Interval:
    note = f"not available: {why}" if found.value is None else ""
    return Interval(value=found.value, low=found.low, high=found.high, note=note)
