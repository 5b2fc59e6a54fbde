"""Exact points of the code, so that a fault happens there and nowhere else."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from functools import wraps
from importlib import import_module
from typing import Any

Act = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Point:
    """Before or after one call of a method.

    Args:
        target: ``module:Class.method``.
        after: after the call, not before it.
        call: which of the calls that fit, from 1; 0 is every one.
        about: what an argument must say (a step, a kind, a purpose), where not everything fits.
        thread: the only thread in which it happens, where not every thread fits.
        then: where it really happens, armed when this point is reached.
    """

    target: str
    after: bool = False
    call: int = 1
    about: str = ""
    thread: str = ""
    then: "Point | None" = None

    def fits(self, arguments: list[Any]) -> bool:
        """Whether a call is one of those that count."""
        if self.thread and threading.current_thread().name != self.thread:
            return False
        return not self.about or any(self.about in _said(value) for value in arguments)


def _said(value: Any) -> tuple[Any, ...]:
    names = ("step", "kind", "value", "round_kind", "state")
    return (value, *(getattr(value, name, None) for name in names))


def arm(point: Point, act: Act) -> Callable[[], None]:
    """Makes something happen at a point; returns what undoes that."""
    owner, name = _place(point.target)
    original, counting, calls = getattr(owner, name), threading.Lock(), 0
    happens = act if point.then is None else lambda then=point.then: arm(then, act)

    @wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        if not point.fits([*args, *kwargs.values()]):
            return original(*args, **kwargs)
        with counting:
            calls += 1
            due = point.call in (0, calls)
        if due and not point.after:
            happens()
        result = original(*args, **kwargs)
        if due and point.after:
            happens()
        return result

    setattr(owner, name, watched)
    return lambda: setattr(owner, name, original)


@contextmanager
def armed(point: Point, act: Act) -> Iterator[None]:
    """Makes something happen at a point until the block ends."""
    disarm = arm(point, act)
    try:
        yield
    finally:
        disarm()


@contextmanager
def replaced(target: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Puts what ``change`` makes of something in its place until the block ends."""
    owner, name = _place(target)
    original = getattr(owner, name)
    setattr(owner, name, change(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _place(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    return owner, name


def die() -> None:
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full() -> None:
    """Fails as a write to a full disk does."""
    raise OSError(ENOSPC, os.strerror(ENOSPC))


def disk_full_for_a_while(seconds: float = 2.0) -> None:
    """Lets every write of this process to any file fail, until somebody has made room."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    room = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # noqa: E731
    timer = threading.Timer(seconds, room)
    timer.daemon = True
    timer.start()
