"""Confinement of a process before it is handed a patient's record: files, network, signals.

Linux lets any process give up rights for good, for itself and all that it starts:

* Landlock (Linux 5.13) leaves it the files of the software and one folder of its own. What
  else its user may open (the hospital's home with ledger and keys, the records' own file, the
  memory of another process) it may not. From Linux 6.12 on it can signal nobody outside.
* A filter of system calls leaves it no socket at all, or, where it needs Ray, sockets in a
  network of its own that leads nowhere (a network namespace); for a GPU, AF_UNIX sockets there,
  without which CUDA does not start. Where a hospital names a Ray cluster, it keeps the network.

What a kernel does not know is not given up. ``confine`` returns what was, each after a trial.
What remains: with Ray or a GPU, a pathname socket of this machine that the hospital's user may
open; with a GPU before Linux 6.12, where no network of its own is to be had, an abstract one.

Sources: landlock(7), seccomp(2), network_namespaces(7), user_namespaces(7).
"""

import ctypes
import errno
import fcntl
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
#: landlock(7), access rights in the order of their bits.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_NEWEST_BIT = {1: 12, 2: 13, 3: 14, 4: 14}
_TCP, _SCOPES = 0b11, 0b11

_SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 4, 22, 38
_FILTER = 2
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 0x1
_CAPABILITIES_3 = 0x20080522
#: The kernel's name of a processor's system calls, and the number of socket(2) among them.
_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP, _X32 = 425, 0x40000000

#: What Python, torch and Ray read beside the software itself; no line of it is a secret.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/proc", "/sys", "/etc/ld.so.cache", "/etc/passwd",
    "/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/mime.types",
)  # fmt: skip
#: Of this process alone (its threads' names, and what else of its own a process may write there);
#: all of /proc would be too much: root writes the kernel's settings there.
_THREADS = "/proc/self/task"
_RAY_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True, kw_only=True)
class Confined:
    """The rights that a process has given up, each after a trial.

    ``files``: it cannot open the hospital's home. ``network``: no packet of it leaves the
    machine. ``sockets``: it cannot even make one.
    """

    files: bool
    network: bool
    sockets: bool


def confine(
    home: Path, own: Path, *, sockets: bool, gpu: bool = False, network: bool = False
) -> Confined:
    """Gives up what training does not need, as far as this kernel can; for good.

    To be called by a process of one thread, before it holds anything.

    Args:
        home: the hospital's folder, which is not to be opened any more.
        own: the one folder that may be written.
        sockets: whether it needs Ray, and so sockets.
        gpu: whether it may use the machine's GPU. CUDA starts in this process alone: those that it
            starts may not name their threads.
        network: whether it may reach the network, to a Ray cluster: files are all it gives up.
    """
    leave_no_core()
    inside = (sockets or gpu) and not network and _enter_own_network()
    _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    _restrict_files(own, sockets=sockets, gpu=gpu)
    families = _RAY_FAMILIES if sockets else (socket.AF_UNIX,) if gpu else ()
    filtered = _filter_sockets(families)
    return Confined(
        files=_is_closed(home),
        network=filtered and (inside or not sockets),
        sockets=filtered and not families,
    )


def leave_no_core() -> None:
    """Lets this process, which holds keys or records, leave no image of its memory behind."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def landlock_version() -> int:
    """Returns the version of Landlock that this kernel supports; 0 where it has none."""
    found = int(_libc.syscall(_CREATE_RULESET, None, 0, _VERSION))
    return max(0, found)


def _restrict_files(own: Path, *, sockets: bool, gpu: bool) -> None:
    version = landlock_version()
    if version == 0:
        return
    known = (1 << _NEWEST_BIT.get(version, 15) + 1) - 1
    attributes = struct.pack("QQQ", known, 0 if sockets else _TCP, _SCOPES)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _called(_CREATE_RULESET, attributes, size, 0)
    try:
        for place in _software():
            _allow(ruleset, place, _READ & known)
        for root in _import_roots():
            _allow(ruleset, root, _READ_DIR)
        for name in (*_DEVICES, *(_gpu_devices() if gpu else ())):
            _allow(ruleset, f"/dev/{name}", (_OF_FILES ^ _EXECUTE) & known)
        if gpu:
            _allow_own_threads(ruleset, known)
        for folder in (str(own), *(["/dev/shm"] if sockets else [])):  # noqa: S108
            _allow(ruleset, folder, known & ~_EXECUTE)
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _software() -> Iterable[str]:
    """Yields the folders of the system's libraries, of Python, and of our own packages."""
    yield from _SYSTEM
    inside = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    yield from inside
    for entry in sys.path:
        if "site-packages" in entry or "dist-packages" in entry:
            yield entry
    for root in _import_roots():
        for package in ("protocol", "pipelines", "compliance", "silos"):
            yield f"{root}/{package}"


def _import_roots() -> Iterable[str]:
    """Yields the folder that holds our packages, which Python looks through by name."""
    yield str(Path(__file__).resolve().parents[2])


def _gpu_devices() -> Iterable[str]:
    return sorted(path.name for path in Path("/dev").glob("nvidia*"))


def _allow_own_threads(ruleset: int, known: int) -> None:
    """Lets this process name its threads, which CUDA does when it starts, or fails.

    The folder stays open: a later look-up may give it another inode, to which no rule applies.
    """
    threads = os.open(_THREADS, os.O_PATH)
    rights = (_READ | _WRITE_FILE | _TRUNCATE) & known
    _called(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, threads), 0)


def _allow(ruleset: int, place: str | Path, rights: int) -> None:
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    try:
        kept = rights if Path(place).is_dir() else rights & _OF_FILES
        _called(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", kept, handle), 0)
    finally:
        os.close(handle)


def _is_closed(home: Path) -> bool:
    """Whether no file of the home can be opened; found out by trying."""
    for name in ("site.yaml", "hospital.db", "hospital-keys/split.key", "tls/silo.key"):
        try:
            os.close(os.open(home / name, os.O_RDONLY))
        except OSError:
            continue
        return False
    try:
        os.close(os.open(home / ".confined", os.O_WRONLY | os.O_CREAT, 0o600))
    except PermissionError:
        return True
    except OSError:
        return False
    (home / ".confined").unlink(missing_ok=True)
    return False


def _enter_own_network() -> bool:
    """Moves into a network of a loopback interface and nothing else, where that is allowed."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEW_NET) != 0:
        if _libc.unshare(_NEW_USER | _NEW_NET) != 0:
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
    return True


def _drop_capabilities() -> None:
    """Gives up what makes root more than its files: it could read other processes' memory."""
    header, none = struct.pack("Ii", _CAPABILITIES_3, 0), bytes(24)
    _libc.capset(header, none)


def _filter_sockets(families: Sequence[int]) -> bool:
    """Lets this process make sockets of these families only; whether the kernel does so."""
    if platform.machine() not in _CALLS:
        return False
    program = _program(*_CALLS[platform.machine()], families)
    code = ctypes.create_string_buffer(b"".join(program))
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    if _libc.prctl(_SET_SECCOMP, _FILTER, described, 0, 0) != 0:
        return False
    return _is_refused(socket.AF_VSOCK) and (
        socket.AF_INET in families or _is_refused(socket.AF_INET)
    )


def _program(machine: int, socket_call: int, families: Sequence[int]) -> list[bytes]:
    """Returns the filter, in the instructions of seccomp(2): (code, if true, if false, value)."""
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EACCES
    checks = [(equal, len(families) - place, 0, family) for place, family in enumerate(families)]
    lines = [
        (load, 0, 0, 4),  # which processor's calls
        (equal, 1, 0, machine),
        (end, 0, 0, kill),
        (load, 0, 0, 0),  # which call
        (at_least, 3 + len(checks), 0, _X32),
        (equal, 2 + len(checks), 0, _IO_URING_SETUP),  # it makes sockets too
        (equal, 0, 2 + len(checks), socket_call),
        (load, 0, 0, 16),  # which family
        *checks,
        (end, 0, 0, refuse),
        (end, 0, 0, allow),
    ]
    return [struct.pack("HBBI", *line) for line in lines]


def _is_refused(family: int) -> bool:
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _called(number: int, *arguments: object) -> int:
    given = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    found = int(_libc.syscall(number, *given))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return found
