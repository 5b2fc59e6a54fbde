"""Runs a simulation again as a run before it: with the same seeds, workers and device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from collegium.extras import require_extra
from collegium.output.progress import Watch
from collegium.simulation.settings import SimulationSettings, record_files
from collegium.studies.bundled import BUNDLED_STUDIES
from compliance.facts.dossier import GPU, RunManifest
from compliance.storage.new_folder import require_new
from pipelines.recipes.admission import admit_beside
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import pretrained_beside


@dataclass(frozen=True, kw_only=True)
class RerunSource:
    """A study that is run again, the folder of its records, and of what lay beside its document."""

    study: Study
    data: Path | None
    beside: Path


@dataclass(frozen=True, kw_only=True)
class RerunSettings:
    """The settings of the run before: what a result follows from beside study and records."""

    test_noise: bool
    workers: int = 1
    gpu: bool = False
    draw_seed: int | None = None

    @classmethod
    def of(cls, manifest: RunManifest | None, *, test_noise: bool) -> "RerunSettings":
        """Returns the settings that a manifest records; usual ones where there is none."""
        if manifest is None:
            return cls(test_noise=test_noise)
        return cls(
            test_noise=test_noise,
            workers=manifest.workers or 1,
            gpu=manifest.device == GPU,
            draw_seed=manifest.draw_seed,
        )


@contextmanager
def rerun_folder(keep: Path | None) -> Iterator[Path]:
    """Yields the folder in which a run is made again: a new one, which stays where it was named.

    Args:
        keep: the folder that stays; None for one that goes away after the block.

    Raises:
        WorkspaceRefused: something lies there already.
    """
    if keep is None:
        with TemporaryDirectory(prefix="collegium-reproduce-") as folder:
            yield Path(folder) / "out"
        return
    require_new(keep, "--keep")
    yield keep


def simulate_again(
    source: RerunSource, as_before: RerunSettings, folder: Path, watch: Watch
) -> None:
    """Runs a study in a new folder.

    Args:
        source: the study, and where its files are.
        as_before: the settings.
        folder: the new folder.
        watch: shows the progress.

    Raises:
        WorkspaceRefused: the extra for simulations is not installed.
        FederationError: the simulation cannot be run; says why.
    """
    require_extra("silo")
    from collegium.simulation.simulate import simulate_study

    study = source.study
    admit_beside(study, source.beside)
    if study.task.pretrained is not None:
        parameters = pretrained_beside(study, source.beside)
        if parameters is None:
            raise StudyRefused("task.pretrained: the file of parameters is missing")
        study.task.pretrained.attach(parameters)
    settings = SimulationSettings(
        data=source.data,
        test_noise=as_before.test_noise,
        workers=as_before.workers,
        gpu=as_before.gpu,
        draw_seed=as_before.draw_seed,
    )
    simulate_study(study, source.beside, folder, settings, watch)


def bundled_data(study: Study) -> Path | None:
    """Returns the folder of records that come with the software, where a study names these."""
    names = record_files(study)
    for one in BUNDLED_STUDIES.values():
        if one.data is not None and names and all((one.data / name).is_file() for name in names):
            return one.data
    return None
