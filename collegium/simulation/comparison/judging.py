"""Judges what strategies trained: figures on the same patients, and each one's lead over the first.

A pure function of scores and labels, in the process that holds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from collegium.simulation.baselines.judging import interval_of
from collegium.simulation.baselines.scoring import Floats
from collegium.simulation.comparison.findings import ComparisonFindings, StrategyFigures
from collegium.simulation.comparison.plan import POOLED_RECORDS
from compliance.estimates.interval import Interval
from compliance.facts.figures import TASK_FIGURES
from pipelines.evaluation.compared_models import compared_models, why_not_available
from pipelines.tasks.registry import task_of
from protocol.study.strategies.registry import strategy_of
from protocol.study.study import Study

_TOO_FEW = "too few test patients, or seeds, to say"
_DIVERGED = "not available: a training diverged"


@dataclass(frozen=True, kw_only=True)
class ScoredVariant:
    """One training of a strategy: its scores by hospital, None where it diverged, and its cost."""

    name: str
    study: Study
    epsilon: float | None
    bytes_up: int | None
    bytes_down: int | None
    seconds: float
    scores: Mapping[str, Floats] | None = field(repr=False)


def findings_of(
    study: Study,
    labels: Mapping[str, Floats],
    scored: Sequence[ScoredVariant],
) -> ComparisonFindings:
    """Returns what strategies come to.

    Args:
        study: as it was given.
        labels: of every hospital's test patients.
        scored: the trainings, of each strategy one for each seed, in the order of the seeds.
    """
    headline = TASK_FIGURES[study.task.kind].headline
    names = list(dict.fromkeys(one.name for one in scored))
    trainings = {name: [one for one in scored if one.name == name] for name in names}
    whole = {
        name: [one.scores for one in own if one.scores is not None]
        for name, own in trainings.items()
        if all(one.scores is not None for one in own)
    }
    places: dict[str | None, list[str]] = {site: [site] for site in study.site_names}
    places[None] = [*study.site_names]
    figures: dict[str | None, dict[str, Interval]] = {}
    leads: dict[str, Interval] = {}
    for tested, parts in places.items():
        own = np.concatenate([labels[site] for site in parts])
        scores = {
            name: [np.concatenate([one[site] for site in parts]) for one in models]
            for name, models in whole.items()
        }
        pairs = [
            (name, names[0])
            for name in names[1:]
            if tested is None and {name, names[0]} <= set(scores)
        ]
        found = compared_models(
            scores,
            own,
            exact=task_of(study.task, study.cohort).exact,
            headline=headline,
            pairs=pairs,
            seed=study.seeds.model,
            random=names,
        )
        figures[tested] = {
            name: interval_of(
                found.figures[name][headline.name],
                why_not_available(study.task.kind, np.stack(scores[name]), own),
            )
            for name in scores
        }
        leads |= {name: interval_of(found.leads[name, first], _TOO_FEW) for name, first in pairs}
    lost = Interval.withheld(_DIVERGED)
    return ComparisonFindings(
        study=study,
        seeds=tuple(one.study.seeds.model for one in trainings[names[0]]),
        headline=headline,
        strategies=tuple(
            StrategyFigures(
                name=name,
                own_models=name != POOLED_RECORDS
                and strategy_of(own[0].study.training).personal is not None,
                by_site={site: figures[site].get(name, lost) for site in study.site_names},
                everybody=figures[None].get(name, lost),
                lead=leads.get(name),
                epsilon=own[0].epsilon,
                bytes_up=own[0].bytes_up,
                bytes_down=own[0].bytes_down,
                seconds=sum(one.seconds for one in own) / len(own),
            )
            for name, own in trainings.items()
        ),
    )
