"""Trains every baseline of a study, side by side in processes of their own.

The process that asks holds neither torch nor a record, nor any patient's score: only figures come
back.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collegium.output.progress import Watch, Watching
from collegium.simulation.baselines.findings import Findings
from collegium.simulation.baselines.plan import Baseline, baselines_of
from collegium.simulation.consortium import simulation_ray
from collegium.simulation.settings import SimulationSettings, require_network
from coordinator.membership.directory import is_coordinator
from protocol.errors import FederationError, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside
from silos.config.folder import is_hospital
from silos.training.ray_runtime import here, ray


@ray.remote(num_cpus=0, max_restarts=0)
class BaselineTrainer:
    """Holds all hospitals' records and trains baselines on them, one after the other."""

    def __init__(self, study: Study, data: Path | None, index: bytes | None) -> None:
        self._study, self._data, self._index = study, data, index
        self._hospitals: Any = None
        self._patients: Any = None

    def train(self, baseline: Baseline) -> tuple[FederationError | None, Any]:
        """Returns a refusal, or what ``scored_model`` gives.

        Sampling and noise follow from the study's seed, as in a simulation with test noise: the
        same study gives the same figures.
        """
        from collegium.simulation.baselines.scoring import scored_model
        from silos.training.randomness import FixedEntropy

        try:
            self._ready()
            entropy = FixedEntropy(self._study.seeds.model, simulated=True)
            return None, scored_model(baseline, self._hospitals, self._patients, entropy)
        except FederationError as error:
            return error, None

    def found(self, *scored: Any) -> Findings:
        """Returns the figures of models that were scored."""
        from collegium.simulation.baselines.judging import findings_of

        self._ready()
        sizes = {site: train.num_patients for site, (train, _) in self._hospitals.items()}
        return findings_of(self._study, sizes, self._patients.labels(), scored)

    def _ready(self) -> None:
        from collegium.simulation.baselines.scoring import TestPatients
        from collegium.simulation.records import read_hospitals

        if self._hospitals is None:
            self._hospitals = read_hospitals(self._study, self._index, self._data)
            self._patients = TestPatients(self._study, self._hospitals)


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
    study: Study, folder: Path, settings: SimulationSettings, watch: Watch
) -> Findings:
    """Returns what a study's federation and its baselines reach.

    Args:
        study: the study.
        folder: where its document lies; an index file that it names is read from there.
        settings: what the simulation is told beside the study.
        watch: begins to show progress.

    Raises:
        FederationError: see the tree.
    """
    baselines = baselines_of(study)
    settings.require_sources(study)
    require_network(study)
    index = index_beside(study, folder)
    with watch(study, len(baselines), False) as progress, simulation_ray(settings):
        progress.say("reading the hospitals' records")
        return _trained(study, baselines, settings.data, index, progress)


def _trained(
    study: Study,
    baselines: Sequence[Baseline],
    data: Path | None,
    index: bytes | None,
    progress: Watching,
) -> Findings:
    count = min(len(baselines), len(os.sched_getaffinity(0)))
    trainers = [
        BaselineTrainer.options(scheduling_strategy=here()).remote(  # type: ignore[attr-defined]
            study, data and data.resolve(), index
        )
        for _ in range(count)
    ]
    dealt = zip(itertools.cycle(trainers), baselines, strict=False)
    asked = [trainer.train.options(num_returns=2).remote(baseline) for trainer, baseline in dealt]
    waiting = {refusal: baseline for (refusal, _), baseline in zip(asked, baselines, strict=True)}
    while waiting:
        (ended,), _ = ray.wait(list(waiting), num_returns=1)
        error = ray.get(ended)
        if isinstance(error, FederationError):
            raise error
        progress.run_finished(waiting.pop(ended).text)
    progress.say("figures and their intervals")
    found: Findings = ray.get(trainers[0].found.remote(*(scored for _, scored in asked)))
    return found
