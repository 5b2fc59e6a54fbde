"""Every fault of a file of records is told in one try, with its place and a remedy that works."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collegium.studies.preflight import check_records
from pipelines.cohort.loading import load_cohort
from pipelines.records import Records
from pipelines.sources.faults import MAX_TOLD
from protocol.errors import CohortRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

HEAD = "age,ward,patient,ill\n"
FINE = [f"{40 + n},{'ABC'[n % 3]},p{n},{n % 2}" for n in range(12)]
#: Line 2 lacks the age, 3 and 5 hold words for it, 4 an unknown ward, 5 lacks the label, 6 the key.
FAULTY = ["?,A,p1,0", "> 89,B,p2,1", "50,X4711,p3,0", "> 89,C,p4,", "61,A,,1", "130,A,p6,0"]
SAID = [
    "column 'age', line 2: the cell is missing; fill it, or in the study write impute: VALUE for "
    "the column, or on_missing: drop_row [missing-cell]",
    "column 'age', line 3 (and 1 more line): the word for ages above 89 where a number was "
    "expected; in the study write replace: {TEXT: 90} for the column [ages-over-89]",
    "column 'age', line 7: outside the range [0, 120]; mend the cell, or in the study "
    "write a wider range or outside: clip for the column [outside-range]",
    "column 'ward', line 4: a value outside the vocabulary; it must be one of A, B, C "
    "[outside-vocabulary]",
    "column 'ill', line 5: the cell is missing; fill it, or in the study write on_missing: "
    "drop_row [missing-label]",
    "column 'patient', line 6: no patient key; every record needs its patient, or privacy by "
    "patient cannot be kept [no-patient-key]",
]


def load(folder: Path, text: str, study: Study | None = None) -> Records:
    (folder / "east.csv").write_text(text)
    return load_cohort((study or small_study()).cohort, folder / "east.csv", site="east")


def refused(folder: Path, text: str) -> list[str]:
    with pytest.raises(CohortRefused) as refusal:
        load(folder, text)
    return str(refusal.value).splitlines()


def test_every_faulty_column_is_named_in_one_try(tmp_path: Path) -> None:
    said = refused(tmp_path, HEAD + "\n".join(FAULTY))
    assert said == [f"site east: east.csv: {fault}" for fault in SAID]


def test_missing_columns_uneven_lines_and_faulty_cells_are_told_together(tmp_path: Path) -> None:
    said = refused(tmp_path, "AGE,wards,patient,ill,ill\n50,A,p1,0,0\n51,A,p2,0\n,,,1,1\n")
    assert [line.removeprefix("site east: east.csv: ").split(";")[0] for line in said] == [
        "line 3: 4 cells where 5 were expected",
        "column 'age': missing in the file",
        "column 'ward': missing in the file",
        "column 'ill': occurs 2 times in the header",
        "column 'patient', line 4: no patient key",
    ]
    assert "did you mean 'AGE'?" in said[1]
    assert "did you mean 'wards'?" in said[2]


def test_the_remedies_that_are_named_are_keys_that_work(tmp_path: Path) -> None:
    mended = (
        changed("centre: 50, scale: 20}", "centre: 50, scale: 20, outside: clip, impute: 50, "
                "replace: {'> 89': 90}}")
        .replace("values: [A, B, C]", "values: [A, B, C, X4711]")
        .replace("kind: table", "kind: table\n  on_missing: drop_row")
    )  # fmt: skip
    lines = [line.replace("A,,1", "A,p5,1") for line in FAULTY]
    records = load(tmp_path, HEAD + "\n".join(lines), read_study(mended))
    assert records.features[:, 0].tolist() == pytest.approx([0, 2, 0, 0.55, 3.5])


def test_many_faults_are_bounded(tmp_path: Path) -> None:
    names = [f"lab{n}" for n in range(MAX_TOLD + 3)]
    columns = "\n".join(f"    - {{name: {n}, kind: number, range: [0, 9]}}" for n in names)
    study = read_study(changed("  columns:", f"  columns:\n{columns}"))
    rows = "".join(f"50,A,p{n},0{',x' * len(names)}\n" for n in range(2))
    text = f"{HEAD.strip()},{','.join(names)}\n{rows}"
    with pytest.raises(CohortRefused) as refusal:
        load(tmp_path, text, study)
    said = str(refusal.value).splitlines()
    assert len(said) == MAX_TOLD + 1
    assert said[-1] == "site east: east.csv: and 3 more faults"


VALUE = "4711"
CELLS = st.sampled_from(["", "?", "50", f"a{VALUE}", f"{VALUE}", "A", "1", "inf", f"'{VALUE}"])


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_no_cell_is_ever_shown(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("faults")
    try:
        load(folder, HEAD + "\n".join(map(",".join, rows)))
    except CohortRefused as refusal:
        assert VALUE not in str(refusal)


def write_sites(folder: Path, **spoilt: list[str]) -> None:
    for site in small_study().site_names:
        lines = [*FINE, *spoilt.get(site, [])]
        (folder / f"{site}.csv").write_text(HEAD + "\n".join(lines))


def test_study_check_names_the_faults_of_every_site(tmp_path: Path) -> None:
    from rich.console import Console

    write_sites(tmp_path, east=["old,A,x,0"], south=["50,Z,x,9"])
    with pytest.raises(CohortRefused) as refusal:
        check_records(small_study(), tmp_path, tmp_path, Console(quiet=True))
    said = str(refusal.value).splitlines()
    assert [line.split(", line")[0] for line in said] == [
        "site east: east.csv: column 'age'",
        "site south: south.csv: column 'ward'",
        "site south: south.csv: column 'ill'",
    ]
    ages = [f"{word},{ward},x,{label}" for word, ward, label in
            (("old", "Z", 9), ("inf", "", ""), ("999", "A", 1), ("", "A", 1))]  # fmt: skip
    write_sites(tmp_path, **dict.fromkeys(small_study().site_names, ages))
    with pytest.raises(CohortRefused, match="and 12 more faults$") as refusal:
        check_records(small_study(), tmp_path, tmp_path, Console(quiet=True))
    assert len(str(refusal.value).splitlines()) == MAX_TOLD + 1


def test_silo_check_has_a_line_for_each_fault(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    (home / "east.csv").write_text(HEAD + "\n".join([*FINE, *FAULTY]))
    found = check_quickly(home, read_study(TABLE_STUDY), tmp_path)
    bad = [entry for entry in found.findings if entry.see]
    assert [entry.what for entry in bad] == [said.split("[")[-1].rstrip("]") for said in SAID]
    assert bad[0].finding == "east.csv: column 'age', line 14: the cell is missing"
    assert found.records.quality is None
