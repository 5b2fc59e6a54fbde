"""Two finished runs, whose folder tests of the register copy."""

from pathlib import Path

import pytest

from tests.support.simulated.registered_models import run_twice


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coordinator's folder after two runs of a small study."""
    return run_twice(tmp_path_factory.mktemp("two-runs"))
