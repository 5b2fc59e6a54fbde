"""Reproduces a run: a simulation is run again, a run of real hospitals is computed again.

Real hospitals are asked for nothing: of their runs the sums are computed again from the masked
vectors that were kept, and what follows from the sums.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collegium.models.reproduction.answer import ReproductionAnswer
from collegium.models.reproduction.comparison import (
    KeptSums,
    RunSide,
    compare_recomputed,
    compare_redrawn,
    compare_repeated,
)
from collegium.models.reproduction.reading import (
    RecordedRun,
    distance_of,
    document_of,
    recorded_run,
)
from collegium.models.reproduction.rerun import (
    RerunSettings,
    RerunSource,
    bundled_data,
    rerun_folder,
    simulate_again,
)
from collegium.output.progress import Watch
from compliance.facts.dossier import Reproduction
from protocol.errors import WorkspaceRefused

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReproductionPlaces:
    """The folders of a reproduction.

    ``out`` holds the run, ``data`` the records that its study names and ``beside`` what lay beside
    the study's document. What is made again goes to ``keep``, and away again where that is None.
    ``against`` holds a run that was made again before; its newest is compared.
    """

    out: Path
    data: Path | None = None
    beside: Path | None = None
    keep: Path | None = None
    against: Path | None = None


def reproduce(run: str, places: ReproductionPlaces, watch: Watch, tell: Tell) -> ReproductionAnswer:
    """Returns whether a run is reproduced.

    Args:
        run: its name, or its beginning.
        places: the folders.
        watch: shows the progress of a simulation.
        tell: is told what is done.

    Raises:
        WorkspaceRefused: there is no such run, it is not over, or nothing of it can be computed.
        StoreBroken: the records of the folder are not what was logged.
        FederationError: the simulation cannot be run again; says why.
    """
    with recorded_run(places.out, run) as recorded:
        tell(f"run {recorded.run_id}: {_FIRST[recorded.how]}")
        if recorded.manifest is None:
            tell("it has no manifest: an earlier version made it; no cause can be named by inputs")
        kept = recorded.kept_sums(tell)
        before = recorded.side()
        if not before.steps and kept.fault is None:
            raise WorkspaceRefused(
                f"run {recorded.run_id} ended before its first round: there is nothing to compare"
            )
        if recorded.how is Reproduction.RECOMPUTED:
            if places.against is not None:
                raise WorkspaceRefused(
                    f"run {recorded.run_id} was made by real hospitals: it is not run again"
                )
            return _recomputed(before, kept)
        if places.against is not None:
            return _against(recorded, before, kept, places.against)
        with rerun_folder(places.keep) as folder:
            _run_again(recorded, places, folder, watch)
            return _against(recorded, before, kept, folder)


_FIRST = {
    Reproduction.REPEATED: "a simulation whose draws follow from recorded seeds; it is run again "
    "and compared bit by bit",
    Reproduction.REDRAWN: "a simulation with secret noise; its kept sums are computed again, then "
    "it is run again with new noise",
    Reproduction.RECOMPUTED: "real hospitals made it; its sums are computed again from the masked "
    "vectors that they sent",
}


def _recomputed(before: RunSide, kept: KeptSums) -> ReproductionAnswer:
    if not kept.right and kept.fault is None:
        raise WorkspaceRefused(
            f"nothing of run {before.run_id} can be computed again: no round's masked vectors are "
            "kept; a study keeps them by aggregation.keep_rounds"
        )
    return compare_recomputed(before, kept)


def _against(
    recorded: RecordedRun, before: RunSide, kept: KeptSums, folder: Path
) -> ReproductionAnswer:
    """Returns the answer by the newest run of another folder."""
    with recorded_run(folder, None) as again:
        if again.name == recorded.name:
            raise WorkspaceRefused(
                f"run {again.run_id} of {folder} is the run itself, and not one that was made "
                "again: name the folder of another"
            )
        after = again.side()
        if recorded.how is Reproduction.REPEATED:
            distance = distance_of(recorded.model(), again.model())
            return compare_repeated(before, after, kept, distance)
        return compare_redrawn(before, after, kept)


def _run_again(
    recorded: RecordedRun, places: ReproductionPlaces, folder: Path, watch: Watch
) -> None:
    study = document_of(recorded.study)
    if study.calendar is not None:
        raise WorkspaceRefused(
            f"run {recorded.run_id} is a release of a calendar, which follows from the releases "
            "before it: only its sums can be computed again (collegium audit recompute)"
        )
    data = places.data or bundled_data(study)
    source = RerunSource(study=study, data=data, beside=places.beside or data or places.out)
    as_before = RerunSettings.of(recorded.manifest, test_noise=recorded.test_noise)
    simulate_again(source, as_before, folder, watch)
