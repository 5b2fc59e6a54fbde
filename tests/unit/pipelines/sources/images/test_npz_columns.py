"""Columns beside images mean what a table's columns mean, and are refused in the same words."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.plausibility import implausible, remarks
from pipelines.cohort.quality import quality_of
from pipelines.records import Records
from pipelines.sources.images import npz_images, stored_rows
from pipelines.sources.source import RecordFile
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import Image, ImageCohort, TableCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn
from protocol.study.cohort.labels import BinaryLabel

COLUMNS = (
    NumberColumn(
        name="age", kind="number", range=(0, 120), centre=60, scale=10, impute=50,
        replace={"> 89": 90}, outside="clip",
    ),
    NumberColumn(name="crp", kind="number", range=(0, 500), centre=5, scale=5),
    CategoryColumn(name="sex", kind="category", values=("f", "m", "x"), impute="x"),
)  # fmt: skip
IMAGES = ImageCohort(
    kind="images",
    patient_key="row",
    label=BinaryLabel(positive=(1,), negative=(0,)),
    image=Image(shape=(2, 3), range=(0, 1), centre=0, scale=1),
    parts=("train", "test"),
    columns=COLUMNS,
    missing=("-1", "NA"),
)
TABLE = TableCohort(
    kind="table",
    patient_key="row",
    label=BinaryLabel(column="labels", positive=(1,), negative=(0,)),
    columns=(*COLUMNS, {"name": "labels", "kind": "other"}),  # type: ignore[arg-type]
    missing=("-1", "NA", "", "nan"),
)
AGES = np.array([70, 38.5, np.nan, -1, 130])
CRP = np.array([5, 10, 0, 500, 0.25])
SEX = np.array(["f", " m", "", "NA", "x"])


def load(folder: Path, cohort: ImageCohort = IMAGES, **arrays: np.ndarray) -> Records:
    given = {"age": AGES, "crp": CRP, "sex": SEX} | arrays
    written = {}
    for part in cohort.parts:
        pixels = np.random.default_rng(0).random((5, 2, 3))
        written |= {f"{part}_images": pixels, f"{part}_labels": np.array([0, 1, 0, 1, 1])}
        written |= {f"{part}_{name}": values for name, values in given.items()}
    np.savez(folder / "images.npz", **written)
    return load_cohort(cohort, folder / "images.npz", site="north")


def as_a_table(folder: Path, **arrays: np.ndarray) -> Records:
    given = {"age": AGES, "crp": CRP, "sex": SEX} | arrays
    rows = zip(*(values.tolist() for values in given.values()), strict=True)
    lines = [",".join(map(str, row)) + ",0" for row in rows]
    (folder / "table.csv").write_text("\n".join(["age,crp,sex,labels", *lines]))
    return load_cohort(TABLE, folder / "table.csv", site="north")


def test_a_record_is_its_pixels_and_then_what_a_table_would_make_of_its_columns(tmp_path) -> None:
    records, table = load(tmp_path), as_a_table(tmp_path)
    assert records.features.shape == (10, 6 + 4) == (10, *IMAGES.record_form)
    assert records.features.dtype == np.float32
    alone = IMAGES.model_copy(update={"columns": ()})
    images = load_cohort(alone, tmp_path / "images.npz", site="north")
    np.testing.assert_array_equal(records.features[:, :6], images.features.reshape(10, 6))
    np.testing.assert_array_equal(records.features[:5, 6:], table.features)
    np.testing.assert_array_equal(records.features[5:, 6:], table.features)
    assert table.features[:, 0].tolist() == pytest.approx([1, -2.15, -1, -1, 6])


def test_many_are_read_from_a_file_and_preprocessing_leaves_the_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = {"_target_": "Flipd", "spatial_axis": 0}
    image = Image.model_validate(IMAGES.image.model_dump() | {"preprocessing": [turned]})
    cohort = IMAGES.model_copy(update={"image": image})
    few, plain = load(tmp_path, cohort), load(tmp_path)
    monkeypatch.setattr(stored_rows, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(npz_images, "_NUMBERS", 2 * 6)  # two images at once
    many = load(tmp_path, cohort)
    assert many.is_stored and many.digest == few.digest
    np.testing.assert_array_equal(many.features[:], few.features)
    np.testing.assert_array_equal(few.features[:, 6:], plain.features[:, 6:])
    turned_back = few.features[:, :6].reshape(-1, 2, 3)[:, ::-1].reshape(-1, 6)
    np.testing.assert_array_equal(turned_back, plain.features[:, :6])


@pytest.mark.parametrize("spell", [str, "{} ".format])
def test_numbers_may_be_written_as_text(tmp_path: Path, spell) -> None:
    texts = np.array([spell(value) for value in ("70.0", "> 89", "", "-1.0", "130")])
    found = load(tmp_path, age=texts).features[:5, 6]
    assert found.tolist() == pytest.approx([1, 3, -1, -1, 6])


def test_a_column_of_one_entry_an_image_may_be_upright(tmp_path: Path) -> None:
    upright = load(tmp_path, crp=CRP[:, None].astype(np.float32))
    np.testing.assert_array_equal(upright.features, load(tmp_path).features)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"crp": np.array([5, 600, 0, 1, 900])},
         "images.npz: array 'train_crp', entry 1 (and 1 more entry): outside the range [0, 500]; "
         "mend the cell, or in the study write a wider range or outside: clip for the column"),
        ({"crp": np.array([5, np.nan, 0, 1, 9])},
         "array 'test_crp', entry 1: the entry is missing; fill it, or in the study write impute: "
         "VALUE for the column"),
        ({"crp": np.array([5, np.inf, 0, 1, 9])}, "entry 1: not a finite number"),
        ({"crp": np.array(["5", "a lot", "0", "1", "9"])},
         "entry 1: text where a number was expected"),
        ({"crp": np.array(["5", "7,5", "0", "1", "9"])}, "entry 1: a number with a decimal comma"),
        ({"sex": np.array(["f", "m", "F", "m", "f"])},
         "array 'train_sex', entry 2: a value outside the vocabulary; it must be one of f, m, x"),
        ({"crp": CRP[:4]}, "array 'train_crp' has shape (4,), expected one entry for each"),
        ({"crp": np.array([1j] * 5)}, "array 'train_crp' holds complex128, expected numbers or"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_array_and_entry(tmp_path, arrays, said: str) -> None:
    with pytest.raises(CohortRefused) as caught:
        load(tmp_path, **arrays)
    assert said in str(caught.value)
    for value in ("600", "900", "a lot", "7,5", "7.5", "'F'"):
        assert value not in str(caught.value)


def test_faults_of_all_arrays_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused) as caught:
        load(tmp_path, crp=np.full(5, -7.0), sex=np.full(5, "?"))
    assert [line.split(":")[2].split(",")[0] for line in str(caught.value).splitlines()] == [
        " array 'train_crp'", " array 'test_crp'", " array 'train_sex'", " array 'test_sex'",
    ]  # fmt: skip


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    other = IMAGES.model_copy(
        update={"columns": (*COLUMNS, NumberColumn(name="bmi", kind="number", range=(5, 90)))}
    )
    with pytest.raises(CohortRefused, match="array 'train_bmi' is missing; export it"):
        load(tmp_path, other)


def test_the_quality_report_counts_their_cells_as_it_counts_a_tables(tmp_path: Path) -> None:
    records = load(tmp_path, age=np.array(["70", "> 89", "", "-1", "130"]))
    half = np.arange(10) < 5
    quality = quality_of(records, records.take(half), records.take(~half), IMAGES)
    age, crp, sex = quality.columns
    assert (age.imputed, age.replaced, age.clipped, age.single_clipped_value) == (4, 2, 2, True)
    assert (crp.imputed, crp.clipped, sex.imputed) == (0, 0, 4)
    assert quality.file.missing == {"age": 4, "sex": 4} and quality.file.rows == 10
    assert {remark.name for remark in remarks(records, IMAGES)} == {"many-clipped", "many-imputed"}


def test_a_column_in_another_unit_is_implausible(tmp_path: Path) -> None:
    months = load(tmp_path, age=np.array([840, 462, 333, 850, 900]))
    (found,) = implausible(months, cohort=IMAGES)
    assert "column 'age': 10 of 10 numbers lie outside the range [0, 120]" in found.found


@pytest.mark.parametrize("name", ["labels", "images", "part", "patient"])
def test_a_column_that_is_something_else_already_is_refused(name: str) -> None:
    column = {"name": name, "kind": "number", "range": (0, 1)}
    with pytest.raises(ValueError, match=f"column '{name}': "):
        ImageCohort.model_validate(
            IMAGES.model_dump() | {"columns": [column], "patient_key": "patient"}
        )


def test_columns_are_declared_once_and_missing_is_theirs() -> None:
    with pytest.raises(ValueError, match="declared twice: age"):
        ImageCohort.model_validate(IMAGES.model_dump() | {"columns": [COLUMNS[0].model_dump()] * 2})
    with pytest.raises(ValueError, match="missing is of columns"):
        ImageCohort.model_validate(IMAGES.model_dump() | {"columns": []})
    with pytest.raises(ValueError, match="is one of its values, and means missing"):
        ImageCohort.model_validate(IMAGES.model_dump() | {"missing": ["x"]})


def test_a_unit_that_the_study_does_not_convert_has_its_name_as_of_a_table(tmp_path: Path) -> None:
    load(tmp_path)
    source = RecordFile(path=tmp_path / "images.npz", units={"crp": "ng/mL"})
    with pytest.raises(CohortRefused, match=r"say ng/mL, .* does not convert.*\[unknown-unit\]"):
        load_cohort(IMAGES, source, site="north")
