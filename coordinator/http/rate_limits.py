"""Counts and log lines of refused requests, by address, both within bounds.

An IPv6 address counts by its first 64 bits: the owner of one such network has
2**64 addresses.
"""

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

log = logging.getLogger("collegium.coordinator")

#: Seconds for which a count is kept.
WINDOW_SECONDS = 60.0
#: Lines that the log takes about one address within that time.
MAX_LINES = 100
_MAX_ADDRESSES = 10_000


def block_of(address: str) -> str:
    """Returns what is counted as one address.

    >>> block_of("192.0.2.7"), block_of("::ffff:192.0.2.7"), block_of("2001:db8::7")
    ('192.0.2.7', '192.0.2.7', '2001:db8::/64')
    """
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


class RateCounter:
    """Counts events of each address within a minute; the addresses it keeps are bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, address: str) -> int:
        """Counts one more; returns how many there were within the minute that its first began."""
        block, now = block_of(address), self._clock()
        begun, number = self._counts.pop(block, (now, 0))
        if now - begun >= WINDOW_SECONDS:
            begun, number = now, 0
        self._counts[block] = begun, number + 1
        if len(self._counts) > _MAX_ADDRESSES:
            self._counts.popitem(last=False)
        return number + 1


class UnprovenLog:
    """The log of connections that have proven no identity; so many lines an address a minute."""

    def __init__(self, most: int = MAX_LINES) -> None:
        self._most, self._lines = most, RateCounter()

    def tell(self, address: str, what: str) -> None:
        """Writes a line, with nothing in it that could be taken for another line."""
        number = self._lines.count(address)
        if number <= self._most:
            log.warning("%s: %s", address, what.encode("unicode_escape").decode("ascii")[:300])
        if number == self._most:
            log.warning("%s: no more lines about this address for a minute", address)


#: One for the process, as the log is.
UNPROVEN_LOG = UnprovenLog()
