"""The version of a model that a hospital was to serve at a time, with its proof in the log."""

from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from collegium.verification.proofs import make_proof
from compliance.storage.atomic_file import write_named
from coordinator.views.views import open_views
from protocol.errors import PolicyRefused
from protocol.identity.timestamps import write_time


def prove_served(
    out: Path, name: str, site: str, at: str, to: Path | None = None
) -> dict[str, Any]:
    """Returns which version it was and by which entry of the log; writes the entry's proof.

    Args:
        out: the folder.
        name: the model.
        site: the hospital.
        at: a day or a time (UTC); a day is its end.
        to: where the proof is written (C2SP tlog-proof); nowhere when None.

    Raises:
        PolicyRefused: there is no such model, or the time is none.
        WorkspaceRefused: the proof cannot be written.
    """
    with closing(open_views(out)) as views:
        found = views.served(name, site, _time_of(at))
    if to is not None and found.entry is not None:
        write_named(to, make_proof(out, str(found.entry)).proof.to_bytes)
    return asdict(found)


def _time_of(at: str) -> str:
    """Returns a time as the log writes it.

    >>> _time_of("2026-03-03"), _time_of("2026-03-03T12:00")
    ('2026-03-03T23:59:59.999Z', '2026-03-03T12:00:00.000Z')
    """
    try:
        if len(at) == len("2026-03-03"):
            datetime.fromisoformat(at)
            return f"{at}T23:59:59.999Z"
        read = datetime.fromisoformat(at.replace("Z", "+00:00"))
        return write_time(read if read.tzinfo else datetime.fromisoformat(f"{at}+00:00"))
    except ValueError as error:
        raise PolicyRefused(f"--at {at}: a day or a time, such as 2026-03-03") from error
