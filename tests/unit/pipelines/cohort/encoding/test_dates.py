"""Dates are days by the contract: features since another date, windows of time, or a fault."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import ValidationError

from pipelines.cohort.encoding.date_cells import DateCells, ReadDate
from pipelines.cohort.loading import load_cohort
from pipelines.cohort.quality import column_counts, quality_of
from pipelines.records import Records
from pipelines.sources.source import RecordFile
from pipelines.sources.tables.dialect import FileDialect
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import DateColumn

BORN: dict[str, Any] = {"name": "born", "kind": "date"}
SEEN: dict[str, Any] = {
    "name": "seen", "kind": "date", "since": "born", "unit": "years", "range": [0, 120],
}  # fmt: skip
TABLE: dict[str, Any] = {
    "kind": "table",
    "patient_key": "row",
    "label": {"column": "ill", "positive": [1], "negative": [0]},
    "columns": [BORN, SEEN],
    "min_patients": 1,
}


def cohort_of(**changes: Any) -> TableCohort:
    return TableCohort.model_validate(TABLE | changes)


def load(
    tmp_path: Path, rows: str, written: dict[str, str] | None = None, **changes: Any
) -> Records:
    file = tmp_path / "records.csv"
    file.write_text("born,seen,ill\n" + rows)
    source = RecordFile(path=file, dates=written or {})
    return load_cohort(cohort_of(**changes), source, site="north")


def refused(tmp_path: Path, rows: str, *args: Any, **changes: Any) -> str:
    with pytest.raises(CohortRefused) as refused:
        load(tmp_path, rows, *args, **changes)
    return str(refused.value).replace("site north: records.csv: ", "")


def test_a_date_since_another_is_a_number(tmp_path: Path) -> None:
    records = load(tmp_path, "1950-01-01,2000-01-01,1\n2000-03-01,2000-02-29,0\n", columns=[
        BORN, SEEN | {"unit": "days", "range": [-10, 40_000], "centre": 10, "scale": 2}
    ])  # fmt: skip
    assert records.features[:, 0].tolist() == [(18262 - 10) / 2, (-1 - 10) / 2]
    years = load(tmp_path, "1950-01-01,2000-01-01,1\n")
    assert years.features[0, 0] == np.float32(18262 / 365.25)


def test_a_date_since_a_day_is_a_number(tmp_path: Path) -> None:
    seen = SEEN | {"since": "2020-01-01", "unit": "days"}
    records = load(tmp_path, "?,2020-01-31,1\n", columns=[BORN, seen])
    assert records.features.tolist() == [[30]]


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ("DD.MM.YYYY", "03.02.2021"), ("DD.MM.YYYY", "3.2.2021"), ("DD/MM/YYYY", "03/02/2021"),
        ("MM/DD/YYYY", "02/03/2021"), ("YYYY/MM/DD", "2021/02/03"), ("YYYYMMDD", "20210203"),
        ("DD MM YYYY", "03 02 2021"), ("excel", "44230"), ("excel", "44230.0"),
        ("excel", "2021-02-03"), ("DD.MM.YYYY", "2021-02-03"), ("YYYY-MM-DD", "2021-02-03"),
    ],
)  # fmt: skip
def test_a_day_is_read_in_the_format_of_the_study_or_the_hospital(written: str, cell: str) -> None:
    day = datetime.date(2021, 2, 3).toordinal()
    assert DateCells(DateColumn(name="d", kind="date", format=written)).read(cell) == ReadDate(
        day=day
    )
    of_hospital = DateCells(DateColumn(name="d", kind="date", format="MM-DD-YYYY"), written)
    assert of_hospital.read(cell) == ReadDate(day=day)


@given(day=st.dates(datetime.date(1900, 3, 1), datetime.date(2199, 12, 31)))
def test_every_day_is_read_as_it_is_written(day: datetime.date) -> None:
    wanted = ReadDate(day=day.toordinal())
    for written, text in (
        ("YYYY-MM-DD", f"{day:%Y-%m-%d}"),
        ("DD.MM.YYYY", f"{day:%d.%m.%Y}"),
        ("MM/DD/YYYY", f"{day:%m/%d/%Y}"),
        ("YYYYMMDD", f"{day:%Y%m%d}"),
        ("excel", str((day - datetime.date(1899, 12, 30)).days)),
    ):
        assert DateCells(DateColumn(name="d", kind="date", format=written)).read(text) == wanted


@pytest.mark.parametrize(
    "time", ["T14:05", " 14:05", " 14:05:33.25", "T14:05:33Z", " 02:05 PM", "T23:59:59+02:00",
             " 14:05:33 UTC", "T00:00:00Z"],
)  # fmt: skip
def test_a_time_of_day_is_cut_off_and_counted(tmp_path: Path, time: str) -> None:
    records = load(tmp_path, f"1950-01-01,2000-01-01{time},1\n1950-01-01,2000-01-01,0\n")
    assert records.features[0].tolist() == records.features[1].tolist()
    assert {name: rows.tolist() for name, rows in records.noted.cut.items()} == {"seen": [0]}


@pytest.mark.parametrize("time", ["T00:00:00", " 00:00", " 00:00:00.000000"])
def test_midnight_is_no_time_of_day(tmp_path: Path, time: str) -> None:
    assert not load(tmp_path, f"1950-01-01,2000-01-01{time},1\n").noted.cut


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("2021-02-30", "a day that no calendar has"),
        ("2021-13-40", "a day that no calendar has"),
        ("0000-00-00", "a day that no calendar has"),
        ("2021-25-03", "a day above 12 in the month's place of YYYY-MM-DD; mend the cell"),
        ("1749-01-01", "a year before 1850 or after 2199; mend the cell; if it is a code"),
        ("9999-12-31", "a year before 1850 or after 2199"),
        ("2021", "a date without its day or its month; fill it, or in the study write partial:"),
        ("2021-05", "a date without its day or its month"),
        ("2021-05-00", "a date without its day or its month"),
        (
            "31.12.2020",
            r"written as DD.MM.YYYY, not as YYYY-MM-DD; write dates: {seen: DD.MM.YYYY}",
        ),
        ("12/31/2020", "written as MM/DD/YYYY, not as YYYY-MM-DD; write dates: {seen: MM/DD/YYYY}"),
        ("01/02/2020", "written as DD/MM/YYYY or MM/DD/YYYY, not as"),
        ("44230", "written as excel, not as YYYY-MM-DD; write dates: {seen: excel}"),
        ("soon", "no date as YYYY-MM-DD; mend the cell, or say how"),
        ("1.2.20", "no date as YYYY-MM-DD"),
        ("?", "the cell is missing"),
        ("1940-01-01", "the time since born is outside the range [0, 120]"),
    ],
)
def test_what_is_no_day_of_the_contract_is_refused_with_its_line(
    tmp_path: Path, cell: str, said: str
) -> None:
    told = refused(tmp_path, f"1950-01-01,2001-01-01,1\n1950-01-01,{cell},0\n")
    assert told.startswith("column 'seen', line 3: ") and said in told and "\n" not in told
    assert cell not in told


def test_dates_in_two_orders_are_found(tmp_path: Path) -> None:
    columns = [BORN, SEEN | {"format": "DD/MM/YYYY"}]
    rows = "1950-01-01,{},0\n".format
    told = refused(tmp_path, rows("25/03/2020") + rows("03/25/2020"), columns=columns)
    assert told == (
        "column 'seen', line 3: dates in two orders: a day above 12 in the month's place of "
        "DD/MM/YYYY, and in other cells in the day's; export the column anew in one order, best "
        "YYYY-MM-DD [two-date-orders]"
    )
    told = refused(tmp_path, rows("01/03/2020") + rows("03/25/2020"), columns=columns)
    assert (
        "a day above 12 in the month's place of DD/MM/YYYY; write dates: {seen: MM/DD/YYY" in told
    )
    american = load(tmp_path, rows("03/25/2020"), {"seen": "MM/DD/YYYY"}, columns=columns)
    assert american.features.tolist() == load(tmp_path, rows("2020-03-25")).features.tolist()


@pytest.mark.parametrize(
    ("written", "cells", "said"),
    [
        (
            "DD.MM.YYYY", ["28.03.2020", "03/28/2020", "03/04/2020"],
            "line 3 (and 1 more line): dates in several forms: DD.MM.YYYY and MM/DD/YYYY; export "
            "the column in one form, best YYYY-MM-DD, or mend these cells [several-date-forms]",
        ),
        (
            "YYYY-MM-DD", ["2020-03-28", "28.03.2020", "03/28/2020"],
            "line 3 (and 1 more line): dates in several forms: YYYY-MM-DD, DD.MM.YYYY and "
            "MM/DD/YYYY; export",
        ),
        (
            "DD.MM.YYYY", ["28.03.2020", "44230"],
            "line 3: dates in several forms: DD.MM.YYYY and excel; export",
        ),
        (
            "DD.MM.YYYY", ["03/04/2020", "03/28/2020", "2020-03-28"],
            "line 2 (and 1 more line): a date written as MM/DD/YYYY, not as DD.MM.YYYY; write "
            "dates: {seen: MM/DD/YYYY} under data",
        ),
    ],
)  # fmt: skip
def test_dates_in_several_forms_are_one_fault_with_one_remedy(
    tmp_path: Path, written: str, cells: list[str], said: str
) -> None:
    columns = [BORN, SEEN | {"format": written}]
    rows = "".join(f"1950-01-01,{cell},0\n" for cell in cells)
    told = refused(tmp_path, rows, columns=columns)
    assert told.startswith(f"column 'seen', {said}") and "\n" not in told


@pytest.mark.parametrize(
    ("partial", "cell", "day"),
    [
        ("first", "2020", "2020-01-01"), ("middle", "2020", "2020-07-01"),
        ("last", "2020", "2020-12-31"), ("first", "2020-02", "2020-02-01"),
        ("middle", "2020-02-00", "2020-02-15"), ("last", "2020-02", "2020-02-29"),
        ("last", "12.2020", "2020-12-31"), ("first", "00.00.2020", "2020-01-01"),
    ],
)  # fmt: skip
def test_partial_dates_are_completed_where_the_contract_says_how(
    tmp_path: Path, partial: str, cell: str, day: str
) -> None:
    columns = [BORN, SEEN | {"partial": partial, "format": "DD.MM.YYYY"}]
    records = load(tmp_path, f"1950-01-01,{cell},1\n1950-01-01,{day},0\n", columns=columns)
    assert records.features[0].tolist() == records.features[1].tolist()
    assert records.noted.completed["seen"].tolist() == [0]


def test_missing_dates_are_imputed_or_dropped(tmp_path: Path) -> None:
    rows = "?,2000-01-01,1\n1990-01-01,31.12.9999,1\n1990-01-01,1990-01-01,0\n"
    seen = SEEN | {"missing": ["9999-12-31"], "format": "DD.MM.YYYY"}
    dropped = load(tmp_path, rows, columns=[BORN, seen], on_missing="drop_row")
    assert dropped.rows.tolist() == [2]
    columns = [BORN, seen | {"impute": 40, "centre": 40}]
    records = load(tmp_path, rows, columns=columns)
    assert records.features[:, 0].tolist() == [0, 0, -40]
    (counts,) = column_counts(records, cohort=cohort_of(columns=columns))
    assert (counts.imputed, counts.measured) == (2, 1)


def test_times_outside_the_range_are_clipped_where_the_contract_says_so(tmp_path: Path) -> None:
    columns = [BORN, SEEN | {"outside": "clip", "range": [18, 90]}]
    records = load(tmp_path, "2000-01-01,2000-01-01,1\n1950-01-01,2000-01-01,0\n", columns=columns)
    assert records.features[0].tolist() == [18]
    assert records.noted.clipped["seen"].tolist() == [0]


def test_a_decimal_comma_leaves_dates_alone(tmp_path: Path) -> None:
    file = tmp_path / "records.csv"
    file.write_text("born;seen;ill\n01.01.1950;01.02.2000;1\n")
    written = {"born": "DD.MM.YYYY", "seen": "DD.MM.YYYY"}
    dialect = FileDialect(delimiter=";", decimal=",")
    source = RecordFile(path=file, dialect=dialect, dates=written)
    assert len(load_cohort(cohort_of(), source, site="north")) == 1


WINDOW = {"column": "seen", "since": "2019-01-01", "until": "2019-12-31"}


def test_records_outside_the_window_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = ["2018-12-31", "2019-01-01", "2019-12-31", "2020-01-01"]
    text = "".join(f"1950-01-01,{day},1\n" for day in rows)
    records = load(tmp_path, text, window=WINDOW)
    assert records.rows.tolist() == [1, 2]
    assert records.noted.outside_window.tolist() == [0, 3] and records.noted.read == 4
    report = quality_of(records, records, records.take(np.zeros(2, bool)), cohort_of(window=WINDOW))
    assert report.times is not None and report.times.outside_window == 2
    assert (report.file.rows, report.file.dropped) == (4, 0)


def test_nothing_of_a_record_of_another_time_is_looked_at(tmp_path: Path) -> None:
    text = "1950-01-01,2019-05-05,1\n?,2003-01-01,perhaps\n"
    assert len(load(tmp_path, text, window=WINDOW)) == 1
    told = refused(tmp_path, "1950-01-01,?,1\n1950-01-01,2019-02-31,1\n", window=WINDOW)
    assert "line 2: the cell is missing" in told and "line 3: a day that no calendar has" in told


def test_records_older_than_an_index_date_allows_are_left_out(tmp_path: Path) -> None:
    window = {"column": "born", "before": "seen", "max_age_days": 365}
    rows = "2000-01-01,2000-12-31,1\n2000-01-01,2001-01-01,1\n2000-01-02,2000-01-01,1\n"
    records = load(tmp_path, rows, window=window)
    assert records.rows.tolist() == [0]


def test_the_encoding_of_a_record_depends_on_that_record_and_the_contract(tmp_path: Path) -> None:
    rows = ["1950-01-01,2019-05-05,1\n", "1960-06-01,2019-02-01,0\n", "1999-01-01,2018-01-01,1\n"]
    whole = load(tmp_path, "".join(rows), window=WINDOW)
    for place in (0, 1):
        alone = load(tmp_path, rows[place], window=WINDOW)
        assert alone.features.tolist() == whole.features[place : place + 1].tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": [BORN, SEEN | {"since": "birth"}]}, "'birth' is no column of dates: declare"),
        ({"columns": [BORN, SEEN | {"since": "seen"}]}, "since is another column of dates"),
        ({"columns": [BORN, SEEN | {"since": "2020-02-30"}]}, "day"),
        ({"columns": [BORN | {"range": [0, 1]}, SEEN]}, "range is of a number: say since"),
        ({"columns": [BORN, SEEN | {"range": None}]}, "say its range"),
        ({"columns": [BORN, SEEN | {"format": "YYYY-DD-MM"}]}, "must be YYYY, MM and DD"),
        ({"columns": [BORN, SEEN | {"format": "DD.MM.YY"}]}, "must be YYYY, MM and DD"),
        ({"columns": [BORN, SEEN | {"impute": 200}]}, "impute lies outside the range"),
        ({"columns": [BORN]}, "no column is a feature"),
        ({"window": WINDOW | {"column": "ill"}}, "window: 'ill' is no column of dates"),
        ({"window": WINDOW | {"until": "2018-01-01"}}, "since must not be later than until"),
        ({"window": {"column": "seen"}}, "a window needs"),
        ({"window": {"column": "seen", "before": "born"}}, "go together"),
        ({"window": WINDOW | {"until": 20191231}}, "must be a day such as"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_when_the_study_is_read(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        cohort_of(**changes)


def test_dates_of_a_workbook_and_of_parquet_are_days_whatever_the_format(tmp_path: Path) -> None:
    born, seen = datetime.date(1950, 1, 1), datetime.datetime.fromisoformat("2000-01-01T08:30")
    workbook = openpyxl.Workbook()
    for row in (["born", "seen", "ill"], [born, seen, 1]):
        workbook.active.append(row)
    workbook.save(tmp_path / "records.xlsx")
    arrays = {"born": [born], "seen": [seen], "ill": [1]}
    parquet.write_table(pyarrow.table(arrays), tmp_path / "records.parquet")
    cohort = cohort_of(columns=[BORN | {"format": "DD.MM.YYYY"}, SEEN])
    for name in ("records.xlsx", "records.parquet"):
        records = load_cohort(cohort, tmp_path / name, site="north")
        assert records.features.tolist() == [[np.float32(18262 / 365.25)]]
        assert records.noted.cut["seen"].tolist() == [0]
