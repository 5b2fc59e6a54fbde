"""Records are read as in training, without their label; what does not fit is told line by line."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.sources.source import RecordFile
from protocol.errors import CohortRefused, MessageRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from silos.results.inference.json_records import contract_of_json, table_of_json
from silos.results.inference.record_batches import (
    RecordBatch,
    batches_of,
    batches_of_table,
    source_at,
)
from tests import ROOT
from tests.support.images.folders import cohort as images_of
from tests.support.images.folders import folder_of, write_scans, write_table
from tests.support.simulated.studies import changed, small_study

ROWS = "age,ward,patient\n50,A,p1\n300,B,p2\nx,Q,p3\n12,C,p3\n1,2\n77,B,\n"


def table(study: Study) -> TableCohort:
    assert isinstance(study.cohort, TableCohort)
    return study.cohort


def read(folder: Path, rows: str, study: Study, at_once: int = 100) -> list[RecordBatch]:
    path = folder / "records.csv"
    path.write_text(rows)
    return list(batches_of(RecordFile(path=path), study.cohort, "east", at_once))


def test_each_record_is_scored_or_has_the_reasons_why_not(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, ROWS, small_study())
    assert batch.lines.tolist() == [2, 3, 4, 5, 6, 7]
    assert batch.places.tolist() == [0, 3] and batch.patients == ("p1", "p3")
    assert batch.features.tolist() == [[0, 0, 0], pytest.approx([-1.9, 0, 1])]
    assert batch.faults == {
        1: ("age: outside the range [0, 120] [outside-range]",),
        2: (
            "age: text where a number was expected [text-for-number]",
            "ward: a value outside the vocabulary [outside-vocabulary]",
        ),
        4: ("2 cells where 3 were expected [uneven-line]",),
        5: ("patient: no patient key [no-patient-key]",),
    }
    assert batch.refused_patients == {1: "p2", 2: "p3"}


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_batches_of_any_size_hold_the_same(tmp_path: Path, at_once: int) -> None:
    (whole,) = read(tmp_path, ROWS, small_study())
    parts = read(tmp_path, ROWS, small_study(), at_once)
    assert np.concatenate([part.lines for part in parts]).tolist() == whole.lines.tolist()
    found = [part.features for part in parts if len(part.places)]
    assert np.array_equal(np.concatenate(found), whole.features)
    said = [said for part in parts for said in part.faults.values()]
    assert said == list(whole.faults.values())


def test_a_fault_of_a_whole_column_refuses_all(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match="column 'ward': missing in the file"):
        read(tmp_path, "age,patient\n50,p1\n", small_study())
    with pytest.raises(CohortRefused, match="no records"):
        read(tmp_path, "age,ward,patient\n", small_study())


def test_what_the_contract_does_to_a_cell_is_remarked(tmp_path: Path) -> None:
    age = "{name: age, kind: number, range: [0, 120], centre: 50, scale: 20"
    study = read_study(changed(age, f"{age}, outside: clip, impute: 50, replace: {{old: 90}}"))
    rows = "age,ward,patient\n300,A,p1\n,A,p2\nold,A,p3\n20,A,p4\n"
    (batch,) = read(tmp_path, rows, study)
    assert batch.remarks == {0: ("age clipped",), 1: ("age imputed",), 2: ("age replaced",)}
    assert batch.features[:3, 0].tolist() == pytest.approx([3.5, 0, 2])


def test_records_that_the_contract_leaves_out_are_told_with_what_they_lack(tmp_path: Path) -> None:
    study = read_study(changed("  min_patients: 4", "  on_missing: drop_row\n  min_patients: 4"))
    (batch,) = read(tmp_path, "age,ward,patient\n50,A,p1\n,B,p2\n", study)
    assert batch.faults == {1: ("age: the cell is missing [missing-cell]",)}


def test_real_records_are_encoded_as_in_training() -> None:
    heart = ROOT / "collegium" / "studies" / "heart_disease"
    cohort = read_study_file(heart / "study.yaml").cohort
    source = RecordFile(path=heart / "processed.va.data")
    whole = load_cohort(cohort, source, site="va")
    (batch,) = batches_of(source, cohort, "va")
    assert len(batch.lines) == 200 and len(batch.places) == len(whole) == 130
    order = np.argsort(whole.rows)
    assert np.array_equal(batch.features, whole.features[order])
    assert batch.places.tolist() == whole.rows[order].tolist()


def test_a_hospitals_units_count_for_the_file_that_it_names(tmp_path: Path) -> None:
    unit = "centre: 50, scale: 20, unit: a, units: {mo: 0.08333333}"
    study = read_study(changed("centre: 50, scale: 20", unit))
    path = tmp_path / "other.csv"
    path.write_text("age,ward,patient\n600,A,p1\n")
    own = RecordFile(path=tmp_path / "own.csv", units={"age": "mo"})
    (batch,) = batches_of(source_at(path, study.cohort, None, own), study.cohort, "east")
    assert batch.features[0, 0] == pytest.approx(0, abs=1e-4)
    assert batch.remarks == {0: ("age converted",)}


def test_json_records_mean_what_a_tables_cells_mean(tmp_path: Path) -> None:
    cohort = contract_of_json(table(small_study()))
    (read_here,) = read(tmp_path, "age,ward,patient\n50.5,B,p1\n", small_study())
    found = table_of_json([{"age": 50.5, "ward": "B"}, {"ward": "A"}], cohort, "east")
    (batch,) = batches_of_table(found, cohort)
    assert np.array_equal(batch.features, read_here.features)
    assert batch.faults == {1: ("age: the cell is missing [missing-cell]",)}


@pytest.mark.parametrize("record", [
    7, {"age": 50, "ward": "A", "ill": 1}, {"age": True}, {"age": [1]}, {"age": float("inf")},
    {"ward": "A" * 1001}, {"age": 2**60},
])  # fmt: skip
def test_a_json_record_that_is_no_record_is_refused_without_its_value(record: object) -> None:
    with pytest.raises(MessageRefused, match="record 1") as refused:
        table_of_json([record], contract_of_json(table(small_study())), "east")
    assert "AAA" not in str(refused.value) and "ill" not in str(refused.value)


def test_images_of_a_folder_are_read_without_labels_and_each_fault_is_its_lines(
    tmp_path: Path,
) -> None:
    cohort, rows = images_of(), write_scans(tmp_path)
    whole = load_cohort(cohort, folder_of(tmp_path, part="part"), site="east")
    listed = [{name: row[name] for name in ("patient", "image")} for row in rows]
    listed[2]["image"] = "nowhere.nii.gz"
    (tmp_path / "scans" / "s4.nii.gz").write_bytes(b"no image")
    table = write_table(tmp_path / "unlabelled.csv", listed)
    source = source_at(tmp_path / "scans", cohort, table, None)
    (batch,) = batches_of(source, cohort, "east")
    assert batch.lines.tolist() == [2, 3, 4, 5, 6, 7] and batch.places.tolist() == [0, 1, 3, 5]
    assert batch.patients == ("P0", "P1", "P3", "P5")
    assert sorted(batch.faults) == [2, 4] and all(
        "image: " in one for (one,) in batch.faults.values()
    )
    of_row = dict(zip(whole.rows.tolist(), whole.features[:], strict=True))
    for place, found in zip(batch.places.tolist(), batch.features, strict=True):
        assert np.array_equal(found, of_row[place])
    parts = list(batches_of(source, cohort, "east", 2))
    assert [part.places.tolist() for part in parts] == [[0, 1], [1], [1]]


def test_images_in_one_file_are_asked_for_as_a_folder(tmp_path: Path) -> None:
    source = source_at(tmp_path / "images.npz", images_of(), None, None)
    with pytest.raises(CohortRefused, match="name the folder that holds them"):
        list(batches_of(source, images_of(), "east"))
