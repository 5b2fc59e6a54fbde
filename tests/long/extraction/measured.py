"""Measurements: how often ordinary use raises the alarm, and when an attack does."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from silos.results.inference.extraction_alarm import ExtractionWatch
from silos.results.inference.input_places import input_places
from tests.long.extraction.series import ATTACKS, ordinary
from tests.long.extraction.targets import Features, Target, network, trained

#: Records of a request, and of a whole attack.
A_REQUEST, RECORDS = 8, 1000


@dataclass(frozen=True, kw_only=True)
class WrongAlarms:
    """Alarms on ordinary series: how many had one, and by which rules.

    ``commoner`` is the share of other real patients whom the model calls what it calls most: a copy
    that knows nothing agrees so often.
    """

    target: str
    commoner: float
    series: int
    records: int
    with_alarm: int
    rules: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class AttackSeen:
    """One attack: after how many records the alarm came, and how good the copy was then.

    ``at_alarm`` and ``at_end`` are the shares of other real patients that copy and model call
    alike; None where no alarm came.
    """

    target: str
    attack: str
    alarm_after: int | None
    rules: tuple[str, ...]
    at_alarm: float | None
    at_end: float


def watched(target: Target, features: Features) -> tuple[int | None, frozenset[str]]:
    """Returns after how many records of a series the alarm comes, and which rules."""
    places = input_places(features, target.cohort)
    margins = target.model.margins(target.model.outputs(features))
    watch = ExtractionWatch(places.is_number)
    for begin in range(0, len(features), A_REQUEST):
        end = min(begin + A_REQUEST, len(features))
        found = watch.look(places.places[begin:end], margins[begin:end])
        if found:
            return end, found
    return None, frozenset()


def wrong_alarms(target: Target, series: int, records: int, seed: int = 3) -> WrongAlarms:
    """Returns how many ordinary series of one caller raise the alarm."""
    random, rules, count = np.random.default_rng(seed), Counter[str](), 0
    for _ in range(series):
        _, found = watched(target, ordinary(target, random, records))
        count += bool(found)
        rules.update(found)
    ill = float(np.mean(target.model.outputs(target.others)[:, 0] > 0))
    return WrongAlarms(
        target=target.name,
        commoner=max(ill, 1 - ill),
        series=series,
        records=records,
        with_alarm=count,
        rules=dict(rules),
    )


def attack(target: Target, name: str, seed: int = 5, records: int = RECORDS) -> AttackSeen:
    """Asks as an attack does, trains a copy on the answers, and compares."""
    random = np.random.default_rng(seed)
    drawn = ATTACKS[name](target, random)
    asked = np.stack([row for row, _ in zip(drawn, range(records), strict=False)])
    after, rules = watched(target, asked)
    return AttackSeen(
        target=target.name,
        attack=name,
        alarm_after=after,
        rules=tuple(sorted(rules)),
        at_alarm=None if after is None else agreement(target, asked[:after]),
        at_end=agreement(target, asked),
    )


def agreement(target: Target, asked: Features) -> float:
    """Returns how often a copy that was trained on the answers decides as the model does."""
    hidden = 0 if "logistic" in target.name else 16
    scores = target.model.scores(target.model.outputs(asked))
    risks = np.array([float(one["risk"]) for one in scores])
    copy = trained(network(asked.shape[1], hidden, seed=2), asked, risks, steps=600, decay=0.0)
    with torch.inference_mode():
        said = copy(torch.from_numpy(target.others))[:, 0].numpy() > 0
    return float(np.mean(said == (target.model.outputs(target.others)[:, 0] > 0)))


def figures(found: WrongAlarms | AttackSeen) -> dict[str, Any]:
    """Returns a measurement as JSON."""
    return asdict(found)
