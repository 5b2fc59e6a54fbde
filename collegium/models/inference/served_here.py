"""Models that a hospital itself served, by its own log, and the statement that it makes of them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from compliance.storage.atomic_file import write_named
from protocol.errors import PolicyRefused
from protocol.identity.timestamps import span_of
from silos.config.credentials import Credentials
from silos.config.folder import require_hospital
from silos.config.site_file import site_file_of
from silos.results.serving import made_statement, serving_log_of


def served_here(home: Path, at: str) -> dict[str, Any]:
    """Returns which models were loaded to score on a day or at a time.

    Args:
        home: the hospital's folder.
        at: a day or a time (UTC).

    Raises:
        PolicyRefused: the time is none.
        SiteFileRefused, WorkspaceRefused: no hospital can be read there.
        StoreBroken: the log of serving was changed.
    """
    first, last = span_of(at)
    require_hospital(home)
    log = serving_log_of(home)
    periods = [
        asdict(one)
        for one in log.periods()
        if one.since <= last and (one.until is None or one.until >= first)
    ]
    found = log.read()
    return {
        "site": site_file_of(home).name,
        "since": first,
        "until": last,
        "periods": periods,
        "logged_since": found.events[0].time if found.events else None,
        "head": found.head,
    }


def write_statement(
    home: Path,
    to: Path,
    *,
    since: str | None = None,
    again: bool = False,
    key: bytes | None = None,
) -> dict[str, Any]:
    """Writes a signed statement of everything that was loaded since the last one; returns it.

    Args:
        home: the hospital's folder.
        to: the file.
        since: a day or a time from when it covers; None from where the last one ended.
        again: the newest statement is written anew.
        key: the coordinator's public key (32 bytes); None where the hospital has enrolled.

    Raises:
        PolicyRefused: there is nothing to state, or nobody says whose register it is for.
        WorkspaceRefused, StoreBroken: the log or the file cannot be used.
    """
    require_hospital(home)
    site = site_file_of(home).name
    credentials = Credentials(home / "tls", site)
    if key is None and not credentials.enrolled:
        raise PolicyRefused(
            "this hospital has not enrolled: name the key of the coordinator whose register the "
            "statement is for (--key)"
        )
    public = credentials.coordinator.key if key is None else key
    begin = None if since is None else span_of(since, "--since")[0]
    log = serving_log_of(home)
    signed = made_statement(log, coordinator=public.hex(), site=site, since=begin, again=again)
    write_named(to, signed.to_bytes())
    said = signed.statement
    return {
        "site": site,
        "number": said.number,
        "statement": said.digest,
        "since": said.since,
        "until": said.until,
        "periods": [asdict(one) for one in said.periods],
        "coordinator": said.coordinator,
        "file": str(to),
    }
