"""The address of a Ray cluster, and the file that holds its token."""

import os
from pathlib import Path

import pytest

from protocol.errors import DeviceRefused
from silos.training.worker_pool.cluster_address import ClusterAddress, host_and_port, resolved


@pytest.mark.parametrize("address", ["h", "h:", "h:0", "h:65536", "h:99999", "-h:1", "a:b:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not a name or an IPv4 address, and a port"):
        host_and_port(address)
    with pytest.raises(ValueError, match="is not a name or an IPv4 address, and a port"):
        ClusterAddress(address=address, token_file=Path("token"))


def test_the_largest_port_is_one() -> None:
    assert host_and_port("ray-head.hospital.example:65535")[1] == 65535


def test_a_host_is_found_by_its_name() -> None:
    assert resolved("localhost:6379") == "127.0.0.1:6379"


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(DeviceRefused, match="host no-such-host.invalid is not known here"):
        resolved("no-such-host.invalid:6379")


@pytest.fixture
def named(tmp_path: Path) -> ClusterAddress:
    file = tmp_path / "ray-token"
    file.write_text("abc123\n")
    file.chmod(0o600)
    return ClusterAddress(address="10.0.0.5:6379", token_file=file)


def test_a_token_is_read_from_a_file_of_its_owner_alone(named: ClusterAddress) -> None:
    assert named.token() == "abc123"
    for mode in (0o640, 0o604, 0o660):
        named.token_file.chmod(mode)
        with pytest.raises(DeviceRefused, match="is not for its owner alone.*chmod 600") as told:
            named.token()
        assert "abc123" not in str(told.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_token_of_another_users_is_refused(named: ClusterAddress) -> None:
    os.chown(named.token_file, 12345, 12345)
    with pytest.raises(DeviceRefused, match="is not for its owner alone"):
        named.token()


@pytest.mark.parametrize("held", ["", " \n", "two words", "a" * 5000, "caf\u00e9"])
def test_what_is_no_token_is_refused_and_not_shown(named: ClusterAddress, held: str) -> None:
    named.token_file.write_text(held, encoding="utf-8")
    with pytest.raises(DeviceRefused, match="holds no token") as told:
        named.token()
    assert "two words" not in str(told.value)


def test_a_missing_file_and_a_folder_are_refused(named: ClusterAddress) -> None:
    named.token_file.unlink()
    with pytest.raises(DeviceRefused, match="cannot be read: No such file"):
        named.token()
    named.token_file.mkdir(mode=0o700)
    with pytest.raises(DeviceRefused, match="cannot be read: Is a directory"):
        named.token()
