"""The page of data faults holds the catalogue, and what ``silo check --json`` really writes."""

import re
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from pipelines.sources.faults import RecordFault
from pipelines.sources.faults.catalogue import CATALOGUE, PAGE, see
from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from silos.database.database import open_hospital
from silos.preflight.checks import SiteCheck
from silos.preflight.records import check_records
from tests import ROOT
from tests.docs.fault_page import PAGE as FILE
from tests.docs.fault_page import page
from tests.support.hospital.planted_faults import PLANTED, write
from tests.support.hospital.sites import SITE


def test_the_page_holds_the_catalogue() -> None:
    """``python -m tests.docs.fault_page`` writes it anew."""
    text = FILE.read_text(encoding="utf-8")
    assert page(text) == text
    assert ROOT / PAGE == FILE


def test_every_name_is_short_and_has_its_place_on_the_page() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(CATALOGUE) >= 60
    for name, kind in CATALOGUE.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) <= 32
        assert kind.what and kind.found and kind.remedy
        assert text.count(f'<a id="{see(name).partition("#")[2]}"></a>') == 1


def test_a_fault_without_an_entry_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="'wrong-moon' is no fault of the catalogue"):
        RecordFault(name="wrong-moon", what="x", remedy="y")


def keys_of(found: object, path: str) -> set[str]:
    """Returns the keys of a JSON document, each with those above it; names of columns apart."""
    if isinstance(found, list):
        return set().union(*(keys_of(one, f"{path}[]") for one in found))
    if not isinstance(found, dict) or path.endswith(("missing", "dropped_for", "classes")):
        return {path}
    return {path}.union(*(keys_of(one, f"{path}.{key}") for key, one in found.items()))


def test_every_key_of_the_json_is_described(tmp_path: Path) -> None:
    planted = PLANTED["some in another unit, clipped"]
    write(planted, tmp_path)
    site = read_site_file(SITE.replace("east", "cleveland"))
    study = read_study(planted.study)
    with closing(open_hospital(tmp_path / "hospital.db", site="cleveland")) as hospital:
        records = check_records(tmp_path, site, study, tmp_path, hospital)
    found = SiteCheck(findings=records.findings, site="cleveland", records=records).to_json()
    assert [asdict(entry) for entry in records.findings] == found["findings"]
    text = FILE.read_text(encoding="utf-8")
    section = text[text.index("## `--json`") : text.index("## The catalogue")]
    for path in (one.lstrip(".") for one in keys_of(found, "") - {""}):
        last = path.removesuffix("[]").rsplit(".", 1)[-1]
        assert any(f"`{name}`" in section for name in (path, f"{path}[]", last)), path


def test_every_name_that_the_code_gives_has_an_entry_and_every_entry_is_given() -> None:
    given: set[str] = set()
    for room in ("pipelines", "silos"):
        for path in (ROOT / room).rglob("*.py"):
            if path.name != "catalogue.py":
                given |= set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', path.read_text()))
    assert CATALOGUE.keys() - given == set()
