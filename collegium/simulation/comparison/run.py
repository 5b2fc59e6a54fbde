"""Trains every strategy with every seed, side by side in processes of their own."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collegium.output.progress import Watch
from collegium.simulation.baselines.side_by_side import RecordsHolder, figures_of
from collegium.simulation.comparison.plan import POOLED_RECORDS, Variant, variants
from collegium.simulation.consortium import simulation_ray
from collegium.simulation.pricing import round_bytes
from collegium.simulation.settings import SimulationSettings, require_network
from compliance.facts.comparison.strategies import ComparisonFindings
from protocol.errors import FederationError, StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.training.ray_runtime import ray


@ray.remote(num_cpus=0, max_restarts=0)
class StrategyTrainer(RecordsHolder):
    """Trains strategies on all hospitals' records, one after the other."""

    def train(self, variant: Variant) -> tuple[FederationError | None, Any]:
        """Returns a refusal, or a ``ScoredVariant``; sampling and noise follow from the seed."""
        from collegium.simulation.baselines.scoring import scored_model
        from collegium.simulation.comparison.judging import ScoredVariant
        from silos.training.randomness import FixedEntropy

        try:
            self._ready()
            begun, entropy = time.monotonic(), FixedEntropy(variant.seed, simulated=True)
            found = scored_model(variant.baseline, self._hospitals, self._patients, entropy)
            up, down = _bytes(variant)
        except FederationError as error:
            return error, None
        return None, ScoredVariant(
            name=variant.name,
            study=variant.study,
            epsilon=found.epsilon,
            bytes_up=up,
            bytes_down=down,
            seconds=time.monotonic() - begun,
            scores=found.scores,
        )

    def found(self, *scored: Any) -> ComparisonFindings:
        """Returns the figures of strategies that were scored."""
        from collegium.simulation.comparison.judging import findings_of

        self._ready()
        return findings_of(self._study, self._patients.labels(), scored)


def _bytes(variant: Variant) -> tuple[int | None, int | None]:
    """Returns how many bytes a hospital sends and is sent in a round, without keys and shares."""
    if variant.name == POOLED_RECORDS:
        return None, None
    found = round_bytes(variant.study)
    return found.up, found.down


def require_layers(variant: Variant) -> None:
    """Refuses a strategy, before anything is trained, whose layers the network does not have.

    Raises:
        StudyRefused: names the strategy as it was asked for.
    """
    try:
        require_network(variant.study)
    except StudyRefused as error:
        raise StudyRefused(f"--strategies {variant.name}: {error}") from error


def compare_strategies(
    study: Study,
    folder: Path,
    settings: SimulationSettings,
    watch: Watch,
    asked: Sequence[str],
    seeds: int,
) -> ComparisonFindings:
    """Returns what strategies reach on the same hospitals, and what each one costs.

    Args:
        study: the study, with the keys that strategies have in common.
        folder: where its document lies; an index file that it names is read from there.
        settings: what the simulation is told beside the study.
        watch: begins to show progress.
        asked: the strategies (``plan``).
        seeds: how often each is trained, with initial parameters and draws of its own.

    Raises:
        FederationError: see the tree.
    """
    trainings = variants(study, asked, seeds)
    settings.require_sources(study)
    require_network(study)
    for one in trainings:
        if one.name in asked and one.seed == study.seeds.model:
            require_layers(one)
    index = index_beside(study, folder)
    with watch(study, len(trainings), False) as progress, simulation_ray(settings):
        progress.say("reading the hospitals' records")
        found: ComparisonFindings = figures_of(
            StrategyTrainer,
            (study, settings.data, index),
            [(variant,) for variant in trainings],
            lambda job: f"{job[0].name}, seed {job[0].seed}",
            progress,
        )
        return found
