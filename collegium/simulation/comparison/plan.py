"""The trainings of a comparison: each strategy as it was asked for, with each seed.

Written ``fedavg``, or with keys of its own: ``mrmtl:pull=0.3`` or
``fedprox:mu=0.1:learning_rate=0.05``; ``fedper:own_layers=head+norm`` has two layers. What
differs between two trainings of one seed is the section ``training`` alone; it starts nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from collegium.simulation.baselines.plan import Baseline, together
from compliance.facts.comparison.baselines import FEDERATED, POOLED
from protocol.errors import StudyRefused
from protocol.study.strategies.registry import STRATEGIES
from protocol.study.study import Study, nearest

#: The reference beside the strategies: what all records in one place would give.
POOLED_RECORDS = "pooled records"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One training: ``name`` as it was asked for, and the study that it follows."""

    name: str
    seed: int
    baseline: Baseline

    @property
    def study(self) -> Study:
        """The study with this strategy and seed."""
        return self.baseline.study


def variants(study: Study, asked: Sequence[str], seeds: int) -> tuple[Variant, ...]:
    """Returns every training: the strategies in the order asked for, then pooled records.

    Args:
        study: the study; its seed is the first, the others follow it.
        asked: the strategies, as written above.
        seeds: how many.

    Raises:
        StudyRefused: a strategy is unknown, has no such key, does not fit, or is asked for twice.
    """
    if not study.trains:
        raise StudyRefused(f"{study.name} trains nothing: there is no strategy to compare")
    if not asked:
        raise StudyRefused("--strategies names none: fedavg,scaffold,mrmtl:pull=0.3")
    if len(set(asked)) < len(asked):
        raise StudyRefused("--strategies names each strategy once: fedavg,scaffold,mrmtl:pull=0.3")
    chosen = {name: with_strategy(study, name) for name in asked}
    first, found = study.seeds.model, []
    try:
        study.with_seed(first + seeds - 1)
    except ValidationError:
        raise StudyRefused(f"seeds.model {first}: {seeds} seeds from it on are too large") from None
    for name, own in chosen.items():
        found += [_variant(name, own.with_seed(first + seed), FEDERATED) for seed in range(seeds)]
    for seed in range(seeds):
        found.append(_variant(POOLED_RECORDS, together(study.with_seed(first + seed)), POOLED))
    return tuple(found)


def _variant(name: str, study: Study, kind: str) -> Variant:
    noised = study.privacy.mode != "none"
    baseline = Baseline(kind=kind, site=None, noised=noised, study=study)
    return Variant(name=name, seed=study.seeds.model, baseline=baseline)


def with_strategy(study: Study, asked: str) -> Study:
    """Returns the study with a strategy in place of its own; common keys stay as they are.

    Raises:
        StudyRefused: it is unknown, has no such key, or does not fit the study.
    """
    name, *keys = asked.split(":")
    if name not in STRATEGIES:
        hint = nearest(name, list(STRATEGIES))
        raise StudyRefused(f"--strategies: there is no {name!r}{hint} (docs/strategies.md)")
    section = STRATEGIES[name].keys
    values = study.training.model_dump() | {"strategy": name}
    values = {key: value for key, value in values.items() if key in section.model_fields}
    known, written_keys = set(section.model_fields) - {"strategy"}, set[str]()
    for pair in keys:
        key, separator, written = pair.partition("=")
        if key in written_keys:
            raise StudyRefused(f"--strategies {asked}: {key} stands there twice")
        written_keys.add(key)
        if key not in known:
            hint = nearest(key, sorted(known))
            raise StudyRefused(f"--strategies {asked}: {name} has no key {key!r}{hint}")
        if not separator:
            raise StudyRefused(f"--strategies {asked}: {key} needs a value: {key}=...")
        values[key] = tuple(written.split("+")) if key == "own_layers" else _value(written)
    try:
        return study.replaced(training=section.model_validate(values))
    except ValidationError as error:
        problem = error.errors()[0]
        path = ".".join(str(part) for part in problem["loc"])
        told = f"{path}: {problem['msg']}" if path else problem["msg"]
        raise StudyRefused(f"--strategies {asked}: {told}") from error


def _value(written: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(written)
        except ValueError:
            continue
    return written
