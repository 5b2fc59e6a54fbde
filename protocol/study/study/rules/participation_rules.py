"""Rules about batches of hospitals that take turns, and about groups under a robust rule."""

from collections import Counter
from collections.abc import Iterator, Sequence

from protocol.study.privacy import DistributedPrivacy
from protocol.study.strategies.registry import strategy_of
from protocol.study.strategies.strategy import Problem
from protocol.study.study.record import StudyRecord
from protocol.study.study.sums.participation import SiteNames, SumOfSites
from protocol.study.study.sums.robust import LEAST_GROUPS, LEAST_HOSPITALS, RobustRule


def participation_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of batches and groups: who is in them, and whether that will do."""
    problems: list[Problem] = []
    if study.participation is not None:
        batches = study.participation.batches
        problems += _common_problems(study, "participation", "batches", batches)
        if len(batches) > max(1, study.training.rounds):
            problems.append(
                (
                    "participation.batches",
                    f"{len(batches)} batches take turns in {study.training.rounds} rounds: the "
                    "last ones would never train",
                )
            )
    if study.robust is not None:
        problems += _common_problems(study, "robust", "groups", study.robust.groups)
        problems += _robust_problems(study, study.robust)
    return problems


def _common_problems(
    study: StudyRecord, section: str, parts: str, named: Sequence[SiteNames]
) -> Iterator[Problem]:
    """Yields what batches and groups have in common: known hospitals, enough of them, own noise."""
    path = f"{section}.{parts}"
    if not study.trains:
        yield section, "this study trains nothing: leave it out"
    if isinstance(study.privacy, DistributedPrivacy):
        yield section, _SHARED[section]
    for place, sites in enumerate(named, start=1):
        part = {"batches": "batch", "groups": "group"}[parts] + f" {place}"
        unknown = sorted(set(sites) - set(study.site_names))
        if unknown:
            yield path, f"{part} names {unknown[0]}, which is not among the study's sites"
        if len(set(sites)) < len(sites):
            yield path, f"{part} names {Counter(sites).most_common(1)[0][0]} twice"
        for problem in SumOfSites.over(sites).problems(
            part,
            colluders=study.aggregation.colluders,
            min_sites=study.aggregation.min_sites,
        ):
            yield path, problem
    absent = sorted(set(study.site_names).difference(*named))
    if absent:
        yield path, f"{absent[0]} is in none of the {parts}: every hospital of the study is in one"


_SHARED = {
    "participation": "with distributed noise the hospitals' shares protect together, and fewer "
    "hospitals in a sum would add less noise than each patient was promised: leave participation "
    "out, or take privacy.mode per_site",
    "robust": "with distributed noise a group's sum would hold the noise shares of its own "
    "hospitals alone, which protect nobody enough: robust groups need privacy.mode per_site",
}


def _robust_problems(study: StudyRecord, robust: RobustRule) -> Iterator[Problem]:
    """Yields what is wrong with a robust rule and its groups."""
    hospitals, groups = len(study.sites), len(robust.groups)
    if study.participation is not None:
        yield "robust", "groups are of all hospitals in every round: leave participation out"
    if hospitals < LEAST_HOSPITALS:
        yield (
            "robust",
            f"the study has {hospitals} hospitals: a robust rule needs {LEAST_GROUPS} groups of 3, "
            f"so at least {LEAST_HOSPITALS}",
        )
    if groups < LEAST_GROUPS:
        yield "robust.groups", f"there are {groups} groups: a rule needs at least {LEAST_GROUPS}"
    counts = Counter(site for group in robust.groups for site in set(group))
    twice = sorted(site for site, times in counts.items() if times > 1)
    if twice:
        yield (
            "robust.groups",
            f"{twice[0]} is in {counts[twice[0]]} groups: each hospital is in one",
        )
    yield from _trim_problems(robust)
    if strategy_of(study.training).scalars:
        yield (
            "training.strategy",
            f"{study.training.strategy} needs the mean of numbers beside the updates, which no "
            "robust rule bounds: take another strategy, or leave robust out",
        )


def _trim_problems(robust: RobustRule) -> Iterator[Problem]:
    groups = len(robust.groups)
    if robust.rule == "median" and robust.trim is not None:
        yield "robust.trim", "a median has nothing to trim: leave trim out"
    if robust.rule == "trimmed_mean" and robust.trim is None:
        yield "robust.trim", "say how many groups are left out at either end: trim: 1"
    if robust.trim is not None and 2 * robust.trim >= groups:
        yield (
            "robust.trim",
            f"{groups} groups leave none when {robust.trim} are left out at either end",
        )
