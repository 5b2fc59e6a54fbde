"""The address of a hospital's Ray cluster, and the file that holds the cluster's token.

Nothing here imports torch or Ray: the supervisor, which holds keys, reads it too.
"""

import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import DeviceRefused

#: The file in a training process's own folder that holds its cluster's token.
CLUSTER_TOKEN = "cluster-token"  # noqa: S105
_ADDRESS = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):([1-9][0-9]{0,4})")
_MAX_PORT = 65535
_LONGEST_TOKEN = 4096


def host_and_port(address: str) -> tuple[str, int]:
    """Returns the name or IPv4 address of a host, and its port.

    >>> host_and_port("10.0.0.5:6379")
    ('10.0.0.5', 6379)

    Raises:
        ValueError: it is not of that form, or there is no such port.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > _MAX_PORT:
        raise ValueError(f"{address} is not a name or an IPv4 address, and a port")
    return found[1], int(found[2])


@dataclass(frozen=True, kw_only=True)
class ClusterAddress:
    """The head of a Ray cluster (``host:port``), and the file that holds the cluster's token.

    Raises:
        ValueError: the address is none; see ``host_and_port``.
    """

    address: str
    token_file: Path

    def __post_init__(self) -> None:
        host_and_port(self.address)

    def token(self) -> str:
        """Returns the token.

        Raises:
            DeviceRefused: others than its owner may read the file, or it holds no token; the
                message says nothing of what it holds.
        """
        said, remedy = f"the Ray cluster's token file {self.token_file}", "(docs/hospital.md)"
        try:
            with self.token_file.open("rb") as opened:
                found = os.fstat(opened.fileno())
                data = opened.read(_LONGEST_TOKEN + 1) if stat.S_ISREG(found.st_mode) else b""
        except OSError as error:
            raise DeviceRefused(f"{said} cannot be read: {error.strerror} {remedy}") from error
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise DeviceRefused(
                f"{said} is not for its owner alone: make it the supervisor's own, and chmod 600 it"
            )
        token = data.strip()
        if not token or len(data) > _LONGEST_TOKEN or not re.fullmatch(rb"[!-~]+", token):
            raise DeviceRefused(
                f"{said} holds no token: one line of it, as ray get-auth-token --generate makes it"
            )
        return token.decode("ascii")


def resolved(address: str) -> str:
    """Returns an address (``host:port``) with the host's IPv4 address.

    Raises:
        DeviceRefused: nobody knows the host.
        ValueError: the address is none.
    """
    host, port = host_and_port(address)
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise DeviceRefused(
            f"the Ray cluster's host {host} is not known here ({error.strerror}): mend "
            "resources.ray_address, or the name server"
        ) from error
    return f"{found[0][4][0]}:{port}"
