"""The version of a model that a hospital was to serve, with its proof, and what it stated.

A statement comes as a file from the hospital, and is taken into the log here.
"""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collegium.verification.proofs import make_proof
from compliance.governance.acts import ActRequest
from compliance.storage.atomic_file import read_named, write_named
from compliance.storage.clock import utc_now
from coordinator.governance.models.serving import serving_payload
from coordinator.runs.person_acts import perform
from coordinator.views.views import open_views
from protocol.encoding import digest
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import span_of, write_time
from protocol.transport.serving_statement import MAX_STATEMENT, parse_serving_statement


def prove_served(
    out: Path, name: str, site: str, at: str, to: Path | None = None
) -> dict[str, Any]:
    """Returns which version it was and by which entry of the log; writes the entry's proof.

    Args:
        out: the folder.
        name: the model.
        site: the hospital.
        at: a day or a time (UTC); a day is its end, and today is now.
        to: where the proof is written (C2SP tlog-proof); nowhere when None.

    Raises:
        PolicyRefused: there is no such model or hospital, or the time is none or still to come.
        WorkspaceRefused: the proof cannot be written.
    """
    begins, ends = span_of(at)
    now = write_time(utc_now())
    if begins > now:
        raise PolicyRefused(f"--at {at} is still to come: nobody knows what is served then")
    with closing(open_views(out)) as views:
        found = views.served(name, site, min(ends, now))
    if to is not None and found.entry is not None:
        write_named(to, make_proof(out, str(found.entry)).proof.to_bytes)
    told = asdict(found)
    if found.stated is not None:
        told["stated"]["agrees"] = found.stated.agrees
    return told


def take_statement(out: Path, file: Path, person: SigningKey | None) -> dict[str, Any]:
    """Takes a hospital's signed statement of serving into the log, as an act; returns what is told.

    Args:
        out: the folder.
        file: that ``collegium infer statement`` wrote.
        person: the key of whoever takes it; None where nobody says who they are.

    Raises:
        WorkspaceRefused: the file cannot be read.
        MessageRefused, PolicyRefused: see ``ServingRegister.take``.
    """
    data = read_named(file, "FILE", MAX_STATEMENT)
    said = parse_serving_statement(data).statement
    request = ActRequest(
        action="model.confirm-served",
        subject_kind="hospital",
        subject=said.site,
        details={"statement": digest(data)},
    )
    return perform(out, request, person, serving_payload(data))
