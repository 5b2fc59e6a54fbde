"""The version of what is shown, and what came of a verification of it."""

from dataclasses import dataclass

from compliance.facts.dossier import LogVerification


@dataclass(frozen=True, kw_only=True)
class ViewsVersion:
    """The state of a store: while it is the same, every view shows the same but for the time.

    ``size`` and ``root`` are those of the log, in which every write of a row is an entry;
    ``at_work`` whether some process is running studies; ``beside`` the state of other files.
    """

    size: int
    root: str
    at_work: bool
    beside: tuple[tuple[int, int] | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KeptVerification:
    """Result of a verification, how many entries the log had when it began, and its root then.

    ``root`` is empty where several logs were verified, or none had an entry.
    """

    size: int
    result: LogVerification
    root: str = ""
