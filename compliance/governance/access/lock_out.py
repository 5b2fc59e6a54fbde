"""Lock-out: how long an account, or an address, waits after failed logins.

Source: NIST SP 800-63B-4, section 3.2.2: no more than 100 failures in a row; growing waits.
"""

from dataclasses import dataclass

#: Failures in a row without a wait, and those after which only an administrator unlocks.
FREE_FAILURES = 5
MAX_FAILURES = 100
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 900.0


def wait_after(failures: int) -> float:
    """Returns for how many seconds nobody may try again after so many failures in a row.

    Infinite from ``MAX_FAILURES`` on.

    >>> [wait_after(n) for n in (4, 5, 6, 7, 99)]
    [0.0, 30.0, 60.0, 120.0, 900.0]
    """
    if failures < FREE_FAILURES:
        return 0.0
    if failures >= MAX_FAILURES:
        return float("inf")
    return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - FREE_FAILURES, 16))


@dataclass(frozen=True, kw_only=True)
class FailedLogins:
    """The failures in a row of one account or address, when the last one was (seconds since 1970).

    ``step`` is the newest one-time step that was used; ``unlogged`` counts refusals since the last
    entry of the log about them, which was made at ``logged``.
    """

    failures: int = 0
    last: float = 0.0
    step: int = -1
    unlogged: int = 0
    logged: float = 0.0

    def seconds_left(self, now: float) -> float:
        """Returns the seconds until somebody may try again; 0 where they may now.

        A clock that was set back lengthens no wait beyond its own length.
        """
        wait = wait_after(self.failures)
        return max(0.0, min(wait, self.last + wait - now))
