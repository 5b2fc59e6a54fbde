"""Folders of one finished run: with a promise and a signed snapshot, and one done from seeds."""

import shutil
from pathlib import Path

import pytest

from collegium.models.publication.crate import CrateRequest, write_crate
from protocol.study.study_file import read_study
from tests.support.simulated.finished_run import RUN, make_finished
from tests.support.simulated.preregistered import PREREGISTRATION
from tests.support.simulated.released import NetworkTrainer, released_study
from tests.support.simulated.studies import TABLE_STUDY


@pytest.fixture(scope="session")
def promised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run with differential privacy; tests change copies of it."""
    folder = tmp_path_factory.mktemp("promised")
    return make_finished(folder, released_study(PREREGISTRATION), trainer=NetworkTrainer)


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with test noise: ``out`` is its output, ``data`` its records."""
    folder = tmp_path_factory.mktemp("seeded")
    make_finished(folder, read_study(TABLE_STUDY), seed=5)
    return folder


@pytest.fixture(scope="session")
def whole_crate(promised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crate of the promised run; tests change copies of it."""
    to = tmp_path_factory.mktemp("crates") / "crate"
    write_crate(promised, CrateRequest(run=RUN, to=to), None)
    return to


@pytest.fixture
def crate(whole_crate: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole_crate, tmp_path / "crate"))
