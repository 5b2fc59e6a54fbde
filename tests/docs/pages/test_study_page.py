"""The study page's table of units, dates and outcomes is read as the page says."""

import re
from datetime import date
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipelines.cohort.loading import load_cohort
from protocol.study.cohort.cohort import TableCohort
from silos.config.site_file import read_site_file, source_of
from tests import ROOT

PAGE = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")


def test_the_table_of_units_and_dates_becomes_the_records_that_the_page_says(
    tmp_path: Path,
) -> None:
    (contract,) = [
        block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "degF" in block
    ]
    (table,) = re.findall(r"```text\n(patient_id.*?)```", PAGE, re.DOTALL)
    (data,) = re.findall(r"`(data: \{kind: file, path: export.csv, units: .*?\}\})`", PAGE)
    cohort = TableCohort.model_validate(YAML(typ="safe", pure=True).load(contract)["cohort"])
    (tmp_path / "export.csv").write_text(table, encoding="utf-8")
    site = read_site_file(f"collegium_site: 1\nname: north\n{data}\n")
    records = load_cohort(cohort, source_of(site, tmp_path), site="north")
    assert records.patient_keys == ("p1", "p2") and records.labels[:].tolist() == [1, 0]
    temperature, pressure, age = records.features[:].T
    assert temperature == pytest.approx([0, 38.5 - 37], abs=1e-5)
    assert pressure.tolist() == [0, 1]
    days = (date(2020, 3, 1) - date(1950, 7, 14), date(2021, 6, 1) - date(1948, 7, 1))
    assert age == pytest.approx([(one.days / 365.25 - 60) / 15 for one in days], abs=1e-5)
    noted = records.noted
    assert (noted.outside_window.tolist(), noted.unobserved.tolist()) == ([3], [2])
    assert noted.cut["admitted"].tolist() == [1] and noted.completed["born"].tolist() == [1]
