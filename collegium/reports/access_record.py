"""The record of who exported a report or evidence: every export goes through it, beforehand."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compliance.governance.acts import ActRequest
from coordinator.runs.person_acts import Recorded, record_act
from protocol.identity.roster import SigningKey


def record_export(
    out: Path,
    key: SigningKey | None,
    subject: tuple[str, str],
    details: Mapping[str, str | bool | None],
) -> Recorded:
    """Logs that a person exports something, before it is written.

    On a copy, and where no person is registered, nothing is logged; the answer says so.

    Args:
        out: the folder of runs.
        key: the person's; None where nobody says who they are.
        subject: of which kind it is (``report``, ``evidence``), and its name.
        details: names, numbers and digests; what is None is left out.

    Raises:
        PolicyRefused: people are registered here, and none of them is named by the key.
        WorkspaceRefused: people are registered here, and nothing can be logged now.
    """
    said = {name: value for name, value in details.items() if value is not None}
    request = ActRequest(
        action="report.export", subject_kind=subject[0], subject=subject[1], details=said
    )
    return record_act(out, request, key)


def record_run_export(
    out: Path, key: SigningKey | None
) -> Callable[[str, Mapping[str, str | bool | None]], dict[str, Any]]:
    """Returns what logs that a run is exported, as ``record_export`` does, for ``--json``."""

    def record(run: str, details: Mapping[str, str | bool | None]) -> dict[str, Any]:
        recorded = record_export(out, key, ("run", run), details)
        return {"act": recorded.act, "access": recorded.note}

    return record
