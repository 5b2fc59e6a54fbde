"""No random tampering with a bundle passes, not even one that the log's own key signs anew.

``make test`` tries three hundred with the single file and fifteen with ``audit verify``, ``make
long`` ten thousand and a thousand with these.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from collegium.verification.bundle import single_file
from collegium.verification.inputs import AuditInputs
from collegium.verification.verify import verify
from coordinator.database.workspace import Workspace
from protocol.errors import FederationError
from tests.unit.collegium.verification.bundle.conftest import Evidence
from tests.unit.collegium.verification.bundle.tampering import Forger

SHORT, LONG = range(300), range(300, 10_000)
BOTH_SHORT, BOTH_LONG = range(0, 300, 20), range(300, 1_000)
QUIET = Console(quiet=True)


def is_of_a_kept_round(name: str) -> bool:
    """Whether a file is one of those that the single file says it does not check wholly."""
    return name.startswith("files/rounds/")


@pytest.mark.parametrize("numbers", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_the_single_file_finds_every_tampering(
    evidence: Evidence, tmp_path: Path, numbers: Sequence[int]
) -> None:
    key = Workspace.open(evidence.folder).signing_key()
    forger = Forger(evidence.bundle, tmp_path, key, spared=is_of_a_kept_round)
    passed = []
    for number in numbers:
        forged = tmp_path / "forged.zip"
        forged.write_bytes(forger.forged(number))
        if not single_file.verify(forged, evidence.key, [evidence.note]).wrong:
            passed.append(number)
    assert not passed


@pytest.mark.parametrize("numbers", [BOTH_SHORT, pytest.param(BOTH_LONG, marks=pytest.mark.long)])
def test_audit_verify_finds_every_tampering(
    evidence: Evidence, tmp_path: Path, numbers: Sequence[int]
) -> None:
    forger = Forger(evidence.bundle, tmp_path, Workspace.open(evidence.folder).signing_key())
    given = AuditInputs(key=evidence.key.hex(), checkpoints=[evidence.note])
    passed = []
    for number in numbers:
        forged = tmp_path / "forged.zip"
        forged.write_bytes(forger.forged(number))
        try:
            if verify(forged, given, QUIET)["verified"]:
                passed.append(number)
        except FederationError:
            pass
    assert not passed
