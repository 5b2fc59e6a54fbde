"""A folder of two runs whose snapshots are signed, and an export without forms of the first."""

import shutil
from pathlib import Path

import pytest

from collegium.models.exports.exporting import ExportRequest, export_model
from tests.support.simulated.released import make_released


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs; tests change copies of it."""
    return make_released(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="session")
def plain_export(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with no form but the parameters; tests change copies of it."""
    to = tmp_path_factory.mktemp("exports") / "plain"
    export_model(two_runs, ExportRequest(version="run-1", to=to, forms=()))
    return to


@pytest.fixture
def exported(plain_export: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(plain_export, tmp_path / "exported"))
