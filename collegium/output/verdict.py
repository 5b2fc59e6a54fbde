"""Verdict of a verification: its last line, for any folder."""

from compliance.facts.formatting import Format, show
from protocol.counted import counted


def verdict(faults: int, when: str, key: str, what: str, unsettled: int = 0) -> str:
    """Returns whether it is verified, when, and with which public key.

    ``unsettled`` is how much changed while it was looked at, because a run is at work.

    >>> verdict(0, "2026-01-02T03:04:05.678Z", "c0ffee", "what was logged")
    'verified at 2026-01-02 03:04:05 UTC with key c0ffee: all that was checked is what was logged'
    >>> verdict(2, "2026-01-02T03:04:05.678Z", "c0ffee", "what was logged")
    'NOT verified at 2026-01-02 03:04:05 UTC with key c0ffee: 2 faults, told above'
    >>> verdict(0, "2026-01-02T03:04:05.678Z", "c0ffee", "what was logged", 3).partition(": ")[2]
    'a run is at work, and 3 places changed meanwhile. Verify again when it has ended'
    """
    place = f"verified at {show(when, Format.TIME)} with key {key}"
    if faults:
        return f"NOT {place}: {counted(faults, 'fault')}, told above"
    if unsettled:
        return (
            f"not yet {place}: a run is at work, and {counted(unsettled, 'place')} changed "
            "meanwhile. Verify again when it has ended"
        )
    return f"{place}: all that was checked is {what}"
