"""Judges scored models: exact figures on every hospital's test patients, and paired leads.

A pure function of scores and labels, in the process that holds them.
"""

from collections.abc import Mapping, Sequence

from collegium.simulation.baselines.places import judged_places
from collegium.simulation.baselines.plan import Baseline
from collegium.simulation.baselines.scoring import Floats, ScoredTraining
from compliance.estimates.interval import Interval
from compliance.facts.comparison.baselines import (
    ALL_BUT,
    FEDERATED,
    LOCAL,
    POOLED,
    BaselineFindings,
    ComparedStudy,
    HospitalSize,
    Lead,
    ModelFigures,
    key_of,
)
from compliance.facts.figures import TASK_FIGURES
from pipelines.evaluation.compared_models import (
    FEWEST_DRAWN,
    FEWEST_OF_A_KIND,
    FEWEST_TRAININGS,
)
from pipelines.evaluation.exact_intervals import FEWEST_OF_A_CLASS
from protocol.study.study import Study

_NOT_SAID = "too few test patients to say"
#: Of whom a difference has no interval.
_TOO_FEW = (
    f"fewer than {FEWEST_OF_A_CLASS} test patients of a class, or, where patients are drawn again, "
    f"fewer than {FEWEST_DRAWN}, or {FEWEST_OF_A_KIND} with each class or an event; or fewer than "
    f"{FEWEST_TRAININGS} trainings of what draws noise or batches"
)


def findings_of(
    study: Study,
    train_patients: Mapping[str, int],
    labels: Mapping[str, Floats],
    scored: Sequence[ScoredTraining],
) -> BaselineFindings:
    """Returns what scored models come to.

    Args:
        study: as it was given, with its privacy.
        train_patients: by hospital.
        labels: of every hospital's test patients.
        scored: the models, each with scores of the same patients; of one baseline as many as it
            was trained, and if one of them diverged it has no figure.
    """
    by_key: dict[str, list[ScoredTraining]] = {}
    for one in sorted(scored, key=lambda one: one.draw):
        by_key.setdefault(one.baseline.key, []).append(one)
    judged = judged_places(
        study,
        labels,
        {
            key: trainings
            for key, models in by_key.items()
            if len(trainings := [one.scores for one in models if one.scores is not None])
            == len(models)
        },
        pairs=lambda tested: _pairs(scored, tested),
        random={key for key, models in by_key.items() if models[0].baseline.is_random},
        too_few=_NOT_SAID,
    )
    return BaselineFindings(
        study=ComparedStudy.of(study),
        figure=TASK_FIGURES[study.task.kind].headline.name,
        too_few=_TOO_FEW,
        hospitals=tuple(
            HospitalSize(
                site=site,
                train_patients=train_patients[site],
                test_patients=len(labels[site]),
            )
            for site in study.site_names
        ),
        models=tuple(
            _model(models, study.site_names, judged.figures) for models in by_key.values()
        ),
        leads=tuple(
            Lead(tested=tested, first=first, second=second, value=value)
            for (tested, (first, second)), value in judged.leads.items()
        ),
    )


def _pairs(scored: Sequence[ScoredTraining], tested: str | None) -> list[tuple[str, str]]:
    """Returns the models that are held against each other on a hospital's patients, or on all."""
    levels = dict.fromkeys(one.baseline.noised for one in scored)
    pairs = []
    for noised in levels:
        federated = key_of(FEDERATED, None, noised=noised)
        pairs.append((key_of(POOLED, None, noised=noised), federated))
        if tested is not None:
            pairs.append((federated, key_of(LOCAL, tested, noised=noised)))
            pairs.append((federated, key_of(ALL_BUT, tested, noised=noised)))
    if len(levels) > 1:
        protected = key_of(FEDERATED, None, noised=True)
        pairs.append((key_of(FEDERATED, None, noised=False), protected))
        if tested is not None:
            pairs.append((protected, key_of(LOCAL, tested, noised=False)))
    return pairs


def _model(
    trainings: Sequence[ScoredTraining],
    sites: Sequence[str],
    figures: Mapping[str | None, Mapping[str, Interval]],
) -> ModelFigures:
    one = trainings[0]
    baseline: Baseline = one.baseline
    lost = Interval.withheld("not available: its training diverged")
    return ModelFigures(
        kind=baseline.kind,
        site=baseline.site,
        noised=baseline.noised,
        trainings=len(trainings),
        train_patients=one.train_patients,
        epsilon=one.epsilon,
        noise_multipliers=dict(one.noise_multipliers),
        by_site={site: figures[site].get(baseline.key, lost) for site in sites},
        everybody=figures[None].get(baseline.key, lost),
    )
