"""No random change of a report's bytes passes `report verify`, in any format, signed or not.

``make test`` tries some, ``make long`` two thousand.
"""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import pytest
from rich.console import Console

from collegium.reports import verifying
from collegium.reports.request import ReportRequest, report_document
from collegium.reports.verifying import verify_report
from compliance.reports.document import Document
from compliance.reports.renderers import FORMS, rendered
from protocol.errors import FederationError
from tests.support.simulated.output_folder import RUNS, make_folder
from tests.unit.collegium.verification.bundle.tampering import changed_bytes

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("reports"))


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Document]:
    """Makes each report that is asked for once: making it again is not what is tried here."""
    kept = lru_cache(maxsize=None)(report_document)
    monkeypatch.setattr(verifying, "report_document", kept)
    return kept


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("numbers", [range(6), pytest.param(range(6, 400), marks=pytest.mark.long)])
def test_every_change_of_a_report_is_found(
    folder: Path, once: Callable[..., Document], tmp_path: Path, form: str, numbers: Sequence[int]
) -> None:
    asked = ReportRequest(name=RUNS[0], kind="security-log")
    whole, file = rendered(report_document(folder, asked), form), tmp_path / f"report.{form}"
    file.write_bytes(whole)
    assert verify_report(file, QUIET, out=folder)["verified"]
    passed = []
    for number in numbers:
        data = changed_bytes(whole, random.Random(number))
        file.write_bytes(data)
        try:
            if data != whole and verify_report(file, QUIET, out=folder)["verified"]:
                passed.append(number)
        except FederationError:
            continue
    assert not passed
