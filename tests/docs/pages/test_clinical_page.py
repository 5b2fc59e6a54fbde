"""The page about clinical records shows what its commands print of the example's patients."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from collegium.cli import main as cli
from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from tests import ROOT
from tests.support.hospital.clinical_tables import (
    STUDY,
    fhir_resources,
    omop_tables,
    patients,
    write_ndjson,
    write_tables,
)

PAGE = (ROOT / "docs" / "clinical-data.md").read_text()
STUDY_PAGE = (ROOT / "docs" / "study.md").read_text()


def blocks(kind: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def words(line: str) -> str:
    return " ".join(line.split())


def site_files() -> dict[str, str]:
    """Returns the page's site file of each kind; the second names only what differs."""
    omop, _, fhir = blocks("yaml")
    whole, other = YAML(typ="safe").load(omop), YAML(typ="safe").load(fhir)
    policy = whole["policy"] | other["policy"]
    lines = ["collegium_site: 1", "name: east", f"data: {other['data']}", f"policy: {policy}"]
    return {"omop": omop, "fhir": "\n".join(lines) + "\n"}


@pytest.mark.parametrize("kind", ["omop", pytest.param("fhir", marks=pytest.mark.long)])
def test_the_check_prints_what_the_page_shows(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    east = patients(700, 0)
    if kind == "omop":
        write_tables(tmp_path / "east-omop", omop_tables(east))
    else:
        write_ndjson(tmp_path / "east-fhir", list(fhir_resources(east)))
    (tmp_path / "records").symlink_to(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    (shown,) = blocks("console")
    command, *lines = shown.splitlines()
    for line in ("silo init --home east --site east", command.removeprefix("$ collegium ")):
        monkeypatch.setattr(sys, "argv", ["collegium", *shlex.split(line)])
        with pytest.raises(SystemExit):
            cli.main()
        printed = words(capsys.readouterr().out)
        (tmp_path / "east" / "site.yaml").write_text(site_files()[kind])
    for shown_line in re.split(r"\n(?=  \S)", "\n".join(lines)):
        assert words(shown_line) in printed, shown_line


def test_every_site_file_of_the_page_can_be_read() -> None:
    for text in site_files().values():
        assert read_site_file(text).policy.clinical
    (database,) = [block for block in blocks("yaml") if "url_file" in block]
    assert read_site_file(f"collegium_site: 1\nname: east\n{database}").data is not None


def test_the_study_pages_cohort_is_a_study() -> None:
    (cohort,) = [block for block in blocks("yaml", STUDY_PAGE) if "clinical:" in block]
    head = "collegium: 1\nname: readmission\ntitle: Readmission\npurpose: To be tested.\n"
    study = read_study(head + cohort + STUDY[STUDY.index("sites:") :])
    assert study.cohort.clinical_meanings["sbp"] is not None
