"""Judges what strategies trained: figures on the same patients, and each one's lead over the first.

A pure function of scores and labels, in the process that holds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collegium.simulation.baselines.places import judged_places
from collegium.simulation.baselines.scoring import Floats
from collegium.simulation.comparison.plan import POOLED_RECORDS
from compliance.estimates.interval import Interval
from compliance.facts.comparison.baselines import ComparedStudy
from compliance.facts.comparison.strategies import ComparisonFindings, StrategyFigures
from compliance.facts.figures import TASK_FIGURES
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
    names = list(dict.fromkeys(one.name for one in scored))
    trainings = {name: [one for one in scored if one.name == name] for name in names}
    judged = judged_places(
        study,
        labels,
        {
            name: whole
            for name, own in trainings.items()
            if len(whole := [one.scores for one in own if one.scores is not None]) == len(own)
        },
        pairs=lambda tested: [] if tested else [(name, names[0]) for name in names[1:]],
        random=names,
        too_few=_TOO_FEW,
    )
    figures, everybody = judged.figures, judged.figures[None]
    lost = Interval.withheld(_DIVERGED)
    return ComparisonFindings(
        study=ComparedStudy.of(study),
        seeds=tuple(one.study.seeds.model for one in trainings[names[0]]),
        figure=TASK_FIGURES[study.task.kind].headline.name,
        strategies=tuple(
            StrategyFigures(
                name=name,
                own_models=name != POOLED_RECORDS
                and strategy_of(own[0].study.training).personal is not None,
                by_site={site: figures[site].get(name, lost) for site in study.site_names},
                everybody=everybody.get(name, lost),
                lead=judged.leads.get((None, (name, names[0]))),
                epsilon=own[0].epsilon,
                bytes_up=own[0].bytes_up,
                bytes_down=own[0].bytes_down,
                seconds=sum(one.seconds for one in own) / len(own),
            )
            for name, own in trainings.items()
        ),
    )
