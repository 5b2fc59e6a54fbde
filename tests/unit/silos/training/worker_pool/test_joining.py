"""A hospital's way into a Ray cluster: what is refused, by kind and in words, with a fake head."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import DeviceRefused
from silos.training.worker_pool import joining
from silos.training.worker_pool.joining import require_cluster, require_versions

TOKEN = "0123456789abcdef" * 4
NODES = [{"CPU": 2.0}, {"CPU": 4.0}]
OPEN = {"state": "open", "nodes": NODES, "ray": joining.version("ray")}
OPEN |= {"python": joining.platform.python_version()}

Head = Callable[[Callable[[str], dict[str, Any]]], str]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a function of the token stand for a cluster's head; returns its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def made(answer: Callable[[str], dict[str, Any]]) -> str:
        monkeypatch.setattr(joining, "_probed", lambda _folder, _address, token: answer(token))
        return f"127.0.0.1:{listening.getsockname()[1]}"

    with listening:
        yield made


def test_a_cluster_that_knows_the_token_and_no_other_is_let_through(
    head: Head, tmp_path: Path
) -> None:
    address = head(lambda token: OPEN if token == TOKEN else {"state": "token"})
    assert require_cluster(tmp_path, address, TOKEN) == NODES
    with pytest.raises(DeviceRefused, match="knows another token") as told:
        require_cluster(tmp_path, address, "f" * 64)
    assert "f" * 64 not in str(told.value)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (OPEN, "lets in whoever shows another token.*RAY_AUTH_MODE=token"),
        ({"state": "silent"}, "does not answer as the head of a Ray cluster does"),
        (OPEN | {"ray": "2.1.0"}, r"has Ray 2\.1\.0, this machine \d"),
        (OPEN | {"python": ""}, "has Python of an unknown version, this machine 3"),
    ],
)
def test_other_heads_are_refused_in_words(
    head: Head, tmp_path: Path, found: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeviceRefused, match=told) as refused:
        require_cluster(tmp_path, head(lambda _token: found), TOKEN)
    assert TOKEN not in str(refused.value)


def test_where_nobody_listens_it_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DeviceRefused, match=f"nobody listens at {address}.*Connection refused"):
        require_cluster(tmp_path, address, TOKEN)


def test_the_process_that_asks_gets_the_token_in_a_file_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **given: Any) -> Any:
        file = Path(given["env"]["RAY_AUTH_TOKEN_PATH"])
        seen.update(command=command, mode=file.stat().st_mode & 0o777, token=file.read_text())
        raise joining.subprocess.TimeoutExpired(command, given["timeout"])

    monkeypatch.setattr(joining.subprocess, "run", run)
    assert joining._probed(tmp_path, "127.0.0.1:6379", TOKEN) == {"state": "silent"}
    assert (seen["mode"], seen["token"]) == (0o600, TOKEN)
    assert TOKEN not in " ".join(seen["command"])
    assert list(tmp_path.iterdir()) == []


def test_the_same_versions_pass() -> None:
    require_versions(OPEN["ray"], OPEN["python"])  # type: ignore[arg-type]


def test_the_way_to_a_head_has_an_address() -> None:
    assert joining._own_address("127.0.0.1:6379") == "127.0.0.1"
