"""Hospitals in rows: connection, software, part in rounds, times and bytes, budget.

No row ranks hospitals: they stand by name, and what a hospital's data are worth is said nowhere.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from compliance.facts.formatting import Format, show
from compliance.reports.document import Tone
from coordinator.runs.monitoring.attendance import GONE_SECONDS
from coordinator.views.members.sites import SiteView
from dashboard.rows.consortium.matters import Matter
from dashboard.texts import say
from protocol.identity.timestamps import read_time

#: A hospital renews its certificate 2 to 3 days before its end.
_SOON = timedelta(days=1)


def connection_rows(
    sites: Sequence[SiteView], seen: Mapping[str, float] | None, now: datetime
) -> list[dict[str, str]]:
    """Returns who is there, under which certificate and roster, with which software.

    Args:
        sites: the hospitals.
        seen: when each was last heard from, in seconds since 1970; None where no service runs.
        now: the time.
    """
    common = most_common_software(sites)
    return [
        {
            say("sites.hospital"): one.site,
            say("sites.state"): say(f"sites.is_{one.state}"),
            say("sites.connection"): _connection(one, seen, now),
            say("sites.certificate"): _certificate(one, now),
            say("sites.roster"): "" if one.roster is None else str(one.roster),
            say("sites.software"): _software(one, common),
        }
        for one in sites
    ]


def silent_matters(
    sites: Sequence[SiteView], seen: Mapping[str, float] | None, now: datetime
) -> list[Matter]:
    """Returns which members are not heard from, in the words of their connections.

    Args:
        sites: the hospitals.
        seen: as ``connection_rows``; where no service runs nobody listens, and nothing is said.
        now: the time.
    """
    said: dict[str, list[str]] = {}
    for one in sites:
        if one.state == "enrolled" and seen is not None and not _is_online(one, seen, now):
            said.setdefault(_connection(one, seen, now), []).append(one.site)
    return [
        Matter(
            text=say("today.not_heard", sites=", ".join(names), connection=connection),
            page="sites",
            urgency=place,
            tone=Tone.CAUTION,
        )
        for place, (connection, names) in enumerate(said.items())
    ]


def _is_online(one: SiteView, seen: Mapping[str, float], now: datetime) -> bool:
    at = seen.get(one.site)
    return at is not None and now.timestamp() - at < GONE_SECONDS


def _connection(one: SiteView, seen: Mapping[str, float] | None, now: datetime) -> str:
    if one.state == "simulated":
        return say("sites.simulated")
    if seen is None:
        return say("sites.no_service")
    at = seen.get(one.site)
    if at is None:
        return say("sites.never_seen")
    when = show(datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"), Format.TIME)
    is_there = _is_online(one, seen, now)
    return say("sites.online", when=when) if is_there else say("sites.silent", when=when)


def _certificate(one: SiteView, now: datetime) -> str:
    if one.certificate_until is None:
        return ""
    left = read_time(one.certificate_until) - now
    when = show(one.certificate_until, Format.TIME)
    if left <= timedelta(0):
        return say("sites.certificate_ended", when=when)
    return say("sites.certificate_soon", when=when) if left <= _SOON else when


def most_common_software(sites: Sequence[SiteView]) -> Mapping[str, str]:
    """Returns of each part of the software the version that most hospitals have, where any does."""
    counts: dict[str, dict[str, int]] = {}
    for one in sites:
        for name, version in one.software.items():
            of_name = counts.setdefault(name, {})
            of_name[version] = of_name.get(version, 0) + 1
    return {
        name: max(sorted(found), key=lambda version: found[version])
        for name, found in counts.items()
    }


def _software(one: SiteView, common: Mapping[str, str]) -> str:
    if one.newest is None:
        return say("sites.no_run")
    parts = [
        f"{name} {version}"
        + ("" if version == common[name] else f" ({say('sites.differs', others=common[name])})")
        for name, version in one.software.items()
    ]
    return ", ".join(parts) or say("sites.not_told")


def round_rows(sites: Sequence[SiteView]) -> list[dict[str, str]]:
    """Returns the part of each hospital in the rounds of the newest runs, with times and bytes."""
    return [
        {
            say("sites.hospital"): one.site,
            say("sites.runs"): str(one.runs),
            say("sites.rounds"): say(
                "sites.of_rounds", joined=f"{one.rounds.joined:,}", asked=f"{one.rounds.asked:,}"
            ),
            say("sites.dropped"): f"{one.rounds.dropped:,}",
            say("sites.update"): _times(one.rounds.updates),
            say("sites.sent"): _bytes(one.rounds.sent),
            say("sites.received"): _bytes(one.rounds.received),
        }
        for one in sites
        if one.runs
    ]


def _times(seconds: Sequence[float]) -> str:
    """Returns the middle and the longest time; says where no round kept any."""
    if not seconds:
        return say("sites.not_told")
    middle, most = (show(value, Format.SECONDS) for value in (median(seconds), max(seconds)))
    return say("sites.times", middle=middle, most=most)


def _bytes(count: int | None) -> str:
    """Returns a number of bytes in the unit that fits.

    >>> _bytes(74948), _bytes(12)
    ('74.9 kB', '12 B')
    """
    if count is None:
        return say("sites.not_told")
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def budget_rows(sites: Sequence[SiteView]) -> list[dict[str, str]]:
    """Returns the budget of each hospital for its patients' lives, as it signed it in a run."""
    rows = []
    for one in sites:
        newest = one.newest
        if newest is None:
            continue
        share = newest.budget_share
        rows.append(
            {
                say("sites.hospital"): one.site,
                say("sites.budget"): show(newest.budget_epsilon, Format.EPSILON)
                if newest.budget_epsilon is not None else say("sites.not_told"),
                say("sites.used"): say("sites.not_told") if share is None
                else show(share, Format.SHARE),
                say("sites.left"): say("sites.not_told") if share is None
                else show(1 - share, Format.SHARE_LEFT),
                say("sites.last_run"): "" if newest.run_share is None
                else show(newest.run_share, Format.SHARE),
                say("sites.signed_in"): one.newest_run or "",
            }
        )  # fmt: skip
    return rows
