"""Limits by address: who fails to log in from one place again and again waits, whatever the name.

Kept in memory: a restart forgets it, and the accounts' own counts remain.
"""

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from compliance.governance.access.lock_out import FailedLogins

#: How many addresses are remembered; the one that was silent longest is forgotten first.
MAX_ADDRESSES = 10_000


class AddressLimits:
    """Failed logins by address.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._known: OrderedDict[str, FailedLogins] = OrderedDict()

    def take(self, address: str) -> bool:
        """Counts an attempt from an address; False where it has to wait."""
        now, place = self._clock(), place_of(address)
        with self._lock:
            tried = self._known.pop(place, FailedLogins())
            free = tried.seconds_left(now) == 0
            if free:
                failures = min(tried.failures + 1, 60)  # waits grow to a quarter of an hour
                tried = replace(tried, failures=failures, last=now)
            self._known[place] = tried
            if len(self._known) > MAX_ADDRESSES:
                self._known.popitem(last=False)
            return free

    def give_back(self, address: str) -> None:
        """Takes back the newest attempt from an address, with which nothing was compared."""
        with self._lock:
            tried = self._known.get(place_of(address))
            if tried is not None:
                failures = max(0, tried.failures - 1)
                self._known[place_of(address)] = replace(tried, failures=failures)

    def clear(self, address: str) -> None:
        """Forgets the failures of an address from which somebody has logged in."""
        with self._lock:
            self._known.pop(place_of(address), None)


def place_of(address: str) -> str:
    """Returns what is counted as one place: of version 6 the network of 64 bits.

    Whoever has one address there has all of them.

    >>> place_of("2001:db8::1:2"), place_of("::ffff:10.0.0.1"), place_of("10.0.0.1")
    ('2001:db8::/64', '10.0.0.1', '10.0.0.1')
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, ipaddress.IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))
