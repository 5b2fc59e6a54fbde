"""Settings of a simulation that no hospital starts with."""

from pathlib import Path

import pytest

from collegium.simulation.settings import SimulationSettings
from protocol.errors import WorkspaceRefused


@pytest.mark.parametrize("address", ["10.0.0.5", "h:0", "h:99999", "http://h:6379"])
def test_an_address_of_no_cluster_is_refused(address: str) -> None:
    with pytest.raises(WorkspaceRefused, match=f"--ray-address {address}: give the head's name"):
        SimulationSettings(ray_address=address, ray_token_file=Path("token"))
