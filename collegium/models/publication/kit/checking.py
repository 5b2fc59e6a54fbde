"""Runs a kit's study again, and compares it with the recorded run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collegium.models.publication.kit.contents import (
    RECORDS,
    STUDY_FILE,
    ExpectedRun,
    expected_run,
)
from collegium.models.reproduction import (
    KeptSums,
    ReproductionAnswer,
    RerunSettings,
    RerunSource,
    compare_repeated,
    distance_of,
    recorded_run,
    rerun_folder,
    simulate_again,
)
from collegium.output.progress import Watch
from protocol.errors import WorkspaceRefused
from protocol.study.study_file import read_study_file


@dataclass(frozen=True, kw_only=True)
class KitCheck:
    """A kit that is to be checked.

    Attributes:
        kit: the folder.
        keep: where what is run stays; None lets it go.
        against: a folder whose newest run is compared instead of running the study.
        public: the log's key (32 bytes) that is trusted; the one in the kit when None.
    """

    kit: Path
    keep: Path | None = None
    against: Path | None = None
    public: bytes | None = None


def check_kit(asked: KitCheck, watch: Watch, tell: Callable[[str], None]) -> ReproductionAnswer:
    """Returns whether a kit's study comes to what was recorded.

    Args:
        asked: the kit.
        watch: shows the progress of the simulation.
        tell: is told what is done.

    Raises:
        WorkspaceRefused: the folder is no kit, the extra for simulations is missing, or both
            ``keep`` and ``against`` are given.
        MessageRefused: what is expected was changed, or proven with another key than ``public``.
        StudyRefused: the study in the folder is none.
        FederationError: the simulation cannot be run; says why.
    """
    if asked.keep is not None and asked.against is not None:
        raise WorkspaceRefused("--keep and --with: nothing is run again with --with; give one")
    expected = expected_run(asked.kit, asked.public)
    tell(
        f"run {expected.record.run} was recorded, and its crate agrees with its digests and proofs"
    )
    if asked.public is None:
        tell(
            f"only with itself does the kit agree: its log's key is {expected.key.hex()[:16]}... "
            "Give --key, from somewhere you trust"
        )
    if asked.against is not None:
        return _compared(expected, asked.against)
    with rerun_folder(asked.keep) as folder:
        source = RerunSource(
            study=read_study_file(asked.kit / STUDY_FILE),
            data=asked.kit / RECORDS,
            beside=asked.kit / RECORDS,
        )
        settings = RerunSettings.of(expected.manifest, test_noise=expected.record.test_noise)
        simulate_again(source, settings, folder, watch)
        return _compared(expected, folder)


def _compared(expected: ExpectedRun, folder: Path) -> ReproductionAnswer:
    with recorded_run(folder, None) as again:
        distance = distance_of(expected.model, again.model())
        return compare_repeated(expected.side, again.side(), KeptSums(), distance)
