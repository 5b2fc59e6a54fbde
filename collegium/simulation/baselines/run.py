"""Trains every baseline of a study, side by side in processes of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collegium.output.progress import Watch, Watching
from collegium.simulation.baselines.plan import Baseline, baselines_of
from collegium.simulation.baselines.side_by_side import RecordsHolder, figures_of
from collegium.simulation.consortium import simulation_ray
from collegium.simulation.settings import SimulationSettings, require_network
from compliance.facts.comparison.baselines import BaselineFindings
from coordinator.membership.directory import is_coordinator
from protocol.errors import FederationError, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.config.folder import is_hospital
from silos.training.ray_runtime import ray

#: How often a training is repeated that draws noise or batches, unless a person says otherwise.
USUAL_DRAWS = 5


@ray.remote(num_cpus=0, max_restarts=0)
class BaselineTrainer(RecordsHolder):
    """Trains baselines on all hospitals' records, one after the other."""

    def train(self, baseline: Baseline, draw: int) -> tuple[FederationError | None, Any]:
        """Returns a refusal, or what ``scored_model`` gives.

        Sampling and noise follow from the study's seed and the draw: the same study gives the same
        figures. The first draw is that of a simulation with test noise.
        """
        from collegium.simulation.baselines.scoring import scored_model
        from silos.training.randomness import FixedEntropy

        try:
            self._ready()
            entropy = FixedEntropy(self._study.seeds.model + draw, simulated=True)
            return None, scored_model(baseline, self._hospitals, self._patients, entropy, draw)
        except FederationError as error:
            return error, None

    def found(self, *scored: Any) -> BaselineFindings:
        """Returns the figures of models that were scored."""
        from collegium.simulation.baselines.judging import findings_of

        self._ready()
        sizes = {site: train.num_patients for site, (train, _) in self._hospitals.items()}
        return findings_of(self._study, sizes, self._patients.labels(), scored)


def require_free(out: Path) -> None:
    """Refuses to write a simulation's figures into a real institution's folder.

    Raises:
        WorkspaceRefused: it is a hospital's, or a network coordinator's.
    """
    if is_hospital(out) or is_coordinator(out):
        owner = "hospital" if is_hospital(out) else "network coordinator"
        raise WorkspaceRefused(
            f"--out {out} is a {owner}'s folder: choose another for a simulation's figures"
        )


def compare_baselines(
    study: Study,
    folder: Path,
    settings: SimulationSettings,
    watch: Watch,
    draws: int = USUAL_DRAWS,
) -> BaselineFindings:
    """Returns what a study's federation and its baselines reach.

    Args:
        study: the study.
        folder: where its document lies; an index file that it names is read from there.
        settings: what the simulation is told beside the study.
        watch: begins to show progress.
        draws: how often each training is repeated that draws noise or batches.

    Raises:
        FederationError: see the tree.
    """
    trainings = trainings_of(baselines_of(study), draws)
    settings.require_sources(study)
    require_network(study)
    index = index_beside(study, folder)
    with watch(study, len(trainings), False) as progress, simulation_ray(settings):
        progress.say("reading the hospitals' records")
        return _trained(study, trainings, settings.data, index, progress)


def trainings_of(baselines: Sequence[Baseline], draws: int) -> list[tuple[Baseline, int]]:
    """Returns what is trained: each baseline, and again with other draws where it has any."""
    return [
        (baseline, draw)
        for draw in range(draws)
        for baseline in baselines
        if not draw or baseline.is_random
    ]


def _trained(
    study: Study,
    trainings: Sequence[tuple[Baseline, int]],
    data: Path | None,
    index: bytes | None,
    progress: Watching,
) -> BaselineFindings:
    found: BaselineFindings = figures_of(
        BaselineTrainer, (study, data, index), trainings, _told, progress
    )
    return found


def _told(training: tuple[Any, ...]) -> str:
    baseline, draw = training
    return f"{baseline.text}, draw {draw + 1}" if draw else str(baseline.text)
