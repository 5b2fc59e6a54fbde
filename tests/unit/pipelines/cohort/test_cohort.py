"""Records are encoded by the contract alone, and what does not fit is refused by name and line."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.cohort.loading import Records, check_cohort, columns_to_keep, load_cohort
from pipelines.records import number_patients, patient_token
from pipelines.sources.source import RecordFile
from pipelines.sources.tables.dialect import FileDialect
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.study import BUNDLED, ColumnSplit, Partitioning
from tests.support.simulated.studies import small_study

NUMBER = {"name": "age", "kind": "number", "range": [0, 120], "centre": 50, "scale": 10}
CATEGORY = {"name": "sex", "kind": "category", "values": ["F", "M", "X"]}
LABEL = {"column": "ill", "positive": ["yes"], "negative": ["no"]}
TABLE = {
    "kind": "table",
    "patient_key": "id",
    "columns": [NUMBER, CATEGORY],
    "label": LABEL,
    "min_patients": 2,
}
CENTRED = [{**NUMBER, "centre": 0.0}, CATEGORY]
GOOD = "id,age,sex,ill\np1,60,F,yes\np2,40,M,no\np1,50,X,no\n"


def table(**changes) -> TableCohort:
    return TableCohort.model_validate(TABLE | changes)


def load(tmp_path: Path, text: str | bytes, keep=(), **changes) -> Records:
    file = tmp_path / "records.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_cohort(table(**changes), file, site="north", keep=keep)


def test_records_are_encoded_by_the_contract(tmp_path):
    records = load(tmp_path, GOOD)
    assert records.features.dtype == np.float32
    assert records.features.tolist() == [[0, 0, 1], [1, 0, 0], [-1, 1, 0]]
    assert records.labels.tolist() == [0, 1, 0]


def test_records_keep_their_patients_and_rows(tmp_path):
    records = load(tmp_path, GOOD)
    assert records.patients.tolist() == [0, 0, 1] and records.patient_keys == ("p1", "p2")
    assert records.num_patients == 2 and len(records) == 3
    assert records.rows.tolist() == [2, 0, 1]


@given(st.permutations(GOOD.splitlines()[1:]))
def test_records_have_an_order_that_their_file_does_not_choose(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("order")
    text = "\n".join([GOOD.splitlines()[0], *lines])
    records, expected = load(folder, text), load(folder, GOOD)
    assert records.digest == expected.digest
    assert [lines[row] for row in records.rows] == [
        GOOD.splitlines()[1:][row] for row in expected.rows
    ]


def test_zero_of_either_sign_is_one_number(tmp_path):
    assert load(tmp_path, HEAD + "p1,-0,F,no\n", columns=CENTRED).digest == (
        load(tmp_path, HEAD + "p1,0,F,no\n", columns=CENTRED).digest
    )


def test_one_row_is_one_patient_when_the_contract_says_so(tmp_path):
    records = load(tmp_path, GOOD, patient_key="row")
    assert records.patients.tolist() == [0, 1, 2] and records.patient_keys == ("0", "1", "2")


def test_encoding_of_a_record_does_not_depend_on_the_others(tmp_path):
    whole = load(tmp_path, GOOD)
    alone = load(tmp_path, "id,age,sex,ill\np1,50,X,no\n")
    assert alone.features.tolist() == whole.features[:1].tolist()


def test_column_order_blank_lines_byte_order_mark_and_spare_columns_do_not_matter(tmp_path):
    text = "\ufeffill,note,sex,id,age\r\nyes,x,F,p1,60.0\r\n\r\nno,, M ,p2,4e1\r\nno,z,X,p1,50\r\n"
    assert load(tmp_path, text).digest == load(tmp_path, GOOD).digest


def test_file_without_header_is_read_by_declared_order(tmp_path):
    columns = [{"name": "id", "kind": "other"}, NUMBER, CATEGORY, {"name": "ill", "kind": "other"}]
    headless = GOOD.split("\n", 1)[1].replace(",", ";")
    records = load(tmp_path, headless, columns=columns, header=False, delimiter=";")
    assert records.digest == load(tmp_path, GOOD).digest


def test_vocabulary_is_compared_in_one_spelling(tmp_path):
    flags = {"name": "sex", "kind": "category", "values": [0, 1]}
    label = {"column": "ill", "positive": [1, 2], "negative": [0]}
    text = "id,age,sex,ill\na,1,1.0,2\nb,1,0, 0.0\n"
    records = load(tmp_path, text, columns=[NUMBER, flags], label=label)
    assert records.features[:, 1].tolist() == [1, 0] and records.labels.tolist() == [1, 0]


def test_rows_with_missing_cells_are_dropped_and_rows_keep_their_numbers(tmp_path):
    text = "id,age,sex,ill\np1,?,F,yes\np2,40,M,no\np3,9999,,no\np4,50,X,NA\np5,70,M,yes\n"
    records = load(tmp_path, text, on_missing="drop_row")
    assert records.rows.tolist() == [1, 4] and records.patient_keys == ("p2", "p5")


def test_missing_cells_are_imputed_from_the_contract(tmp_path):
    columns = [NUMBER | {"impute": 30}, CATEGORY | {"impute": "M"}]
    records = load(tmp_path, "id,age,sex,ill\np1,?,,yes\n", columns=columns)
    assert records.features.tolist() == [[-2, 1, 0]]


@pytest.mark.parametrize("code", ["-1", "-1.0", "-1.00", "-1e0", "-01"])
def test_missing_codes_are_numbers_in_a_column_of_numbers(tmp_path, code):
    changes = {"missing": ["-1"], "columns": [NUMBER | {"impute": 30, "outside": "clip"}, CATEGORY]}
    records = load(tmp_path, f"{HEAD}p1,{code},F,yes\n", **changes)
    assert records.features[:, 0].tolist() == [-2]
    changes["columns"] = [NUMBER | {"outside": "clip"}, CATEGORY]
    with pytest.raises(CohortRefused, match="column 'age', line 2: the cell is missing"):
        load(tmp_path, f"{HEAD}p1,{code},F,yes\n", **changes)
    kept = load(tmp_path, f"{HEAD}p1,{code},F,yes\np2,5,F,no\n", on_missing="drop_row", **changes)
    assert kept.rows.tolist() == [1]


def test_other_numbers_and_other_columns_are_not_taken_for_missing(tmp_path):
    codes = {"name": "sex", "kind": "category", "values": [-1, 1]}
    columns = [NUMBER | {"outside": "clip"}, codes]
    text = f"{HEAD}p1,-10,-1.0,yes\np2,-1.01,1,no\n-1.0,1,1,no\n"
    assert len(load(tmp_path, text, columns=columns, missing=["-1"])) == 3


def test_values_outside_the_range_are_clipped_when_the_contract_says_so(tmp_path):
    columns = [NUMBER | {"outside": "clip"}, CATEGORY]
    records = load(tmp_path, "id,age,sex,ill\na,-5,F,yes\nb,1e9,F,no\n", columns=columns)
    assert records.features[:, 0].tolist() == [-5, 7]


def test_words_that_mean_numbers_are_replaced_as_the_contract_says(tmp_path):
    columns = [NUMBER | {"replace": {"> 89": 90, "newborn": 0}, "impute": 30}, CATEGORY]
    text = f"{HEAD}a, > 89 ,F,yes\nb,newborn,F,no\nc,?,F,no\nd,70,F,no\n"
    records = load(tmp_path, text, columns=columns)
    assert records.features[:, 0].tolist() == [4, -5, -2, 2]
    with pytest.raises(CohortRefused, match="column 'age', line 2: the word for ages above 89"):
        load(tmp_path, f"{HEAD}a,>89,F,yes\n", columns=columns)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replace": {"-1": 0}}, "replace: '-1' must be a text"),
        ({"replace": {" x": 0}}, "replace: ' x' must be a text without blanks around it"),
        ({"replace": {"": 0}}, "replace: '' must be a text"),
        ({"replace": {"> 120": 121}}, "replace: '> 120' becomes 121, outside the range"),
        ({"replace": {"NA": 5}}, "column 'age': 'NA' is replaced, and means missing"),
    ],
)
def test_a_replacement_that_contradicts_the_contract_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        table(columns=[NUMBER | changes])


def test_a_file_written_otherwise_holds_the_same_records(tmp_path):
    text = GOOD.replace(",", ";").replace("id", "nr\u00e9").encode("latin-1")
    file = tmp_path / "records.csv"
    file.write_bytes(text)
    cohort = table(patient_key="nr\u00e9")
    dialect = FileDialect(delimiter=";", encoding="latin-1")
    records = load_cohort(cohort, RecordFile(path=file, dialect=dialect), site="north")
    assert records.digest == load(tmp_path, GOOD).digest
    file.write_bytes(text)
    with pytest.raises(CohortRefused, match="not utf-8 text; save .* encoding: latin-1"):
        load_cohort(cohort, RecordFile(path=file, dialect=FileDialect(delimiter=";")), site="north")
    with pytest.raises(CohortRefused, match="separated by ';', expected ','; write delimiter: "):
        load_cohort(
            cohort, RecordFile(path=file, dialect=FileDialect(encoding="latin-1")), site="north"
        )


def test_decimal_commas_are_read_where_the_file_is_said_to_have_them(tmp_path):
    cohort = table(columns=[*TABLE["columns"][:-1], TABLE["columns"][-1]])
    file = tmp_path / "records.csv"
    number = next(c["name"] for c in TABLE["columns"] if c["kind"] == "number")
    place = GOOD.splitlines()[0].split(",").index(number)

    def written(change):
        lines = [line.split(",") for line in GOOD.splitlines()]
        for line in lines[1:]:
            line[place] = change(line[place])
        file.write_text("\n".join(";".join(line) for line in lines) + "\n")

    def whole(cell):
        return f"{float(cell):.1f}"

    comma, point = FileDialect(delimiter=";", decimal=","), FileDialect(delimiter=";")
    written(whole)
    expected = load_cohort(cohort, RecordFile(path=file, dialect=point), site="north").digest
    with pytest.raises(CohortRefused, match="a number with a decimal point"):
        load_cohort(cohort, RecordFile(path=file, dialect=comma), site="north")
    written(lambda cell: whole(cell).replace(".", ","))
    assert (
        load_cohort(cohort, RecordFile(path=file, dialect=comma), site="north").digest == expected
    )
    said = "a number with a decimal comma; .* write decimal: ','"
    with pytest.raises(CohortRefused, match=said):
        load_cohort(cohort, RecordFile(path=file, dialect=point), site="north")
    written(lambda cell: "1." + whole(cell).replace(".", ","))
    with pytest.raises(CohortRefused, match="text where a number was expected"):
        load_cohort(cohort, RecordFile(path=file, dialect=comma), site="north")


def test_a_value_that_means_missing_is_refused_with_its_column():
    columns = [
        {"name": "smoker", "kind": "category", "values": ["never", "ex", ""]},
        *TABLE["columns"],
    ]
    with pytest.raises(ValueError, match="column 'smoker': '' is one of its values, and means"):
        table(columns=columns)


def test_kept_columns_are_in_comparable_spelling(tmp_path):
    text = "id,age,sex,ill,ward\na,1,F,yes,1.0\nb,2,F,no, B \n"
    records = load(tmp_path, text, keep=("ward",))
    assert records.columns["ward"].tolist() == ["1", "B"]


PATIENT_VALUE = "4711"
ROW = "p1,60,F,yes\n"
HEAD = "id,age,sex,ill\n"
REFUSALS = {
    "missing column": (
        "id,aged,sex,ill\n" + ROW,
        "column 'age': missing in the file; .* mend its name; did you mean 'aged'?",
    ),
    "a title above the header": (
        f"Stays {PATIENT_VALUE}\n\nage of all,x\n" + HEAD + ROW,
        "line 1 names none of the study's columns, and line 4 does; delete the lines above line 4",
    ),
    "no header": (ROW * 9, "line 1 names none of the study's columns; .* say header: false"),
    "duplicate header": ("id,age,sex,ill,age\n", "column 'age': occurs 2 times in the header"),
    "text in a number": (
        HEAD + ROW + f"p2,a{PATIENT_VALUE},F,no\n",
        "column 'age', line 3: text where",
    ),
    "underscore numeral": (HEAD + "p2,1_0,F,no\n", "line 2: text where a number was expected"),
    "hexadecimal numeral": (HEAD + "p2,0x10,F,no\n", "text where a number was expected"),
    "other digits": (HEAD + "p2,\u0664\u0662,F,no\n", "text where a number was expected"),
    "infinity": (HEAD + "p2,-inf,F,no\n", "column 'age', line 2: not a finite number"),
    "overflow": (HEAD + "p2,1e999,F,no\n", "not a finite number"),
    "NaN": (HEAD + "p2,NaN,F,no\n", "column 'age', line 2: the cell is missing"),
    "missing cell": (HEAD + ROW + "p2,40,?,no\n", "column 'sex', line 3: the cell is missing"),
    "range": (HEAD + f"p2,{PATIENT_VALUE},F,no\n", r"line 2: outside the range \[0, 120\]"),
    "vocabulary": (
        HEAD + f"p2,9,{PATIENT_VALUE},no\n",
        "'sex', line 2: a value outside the vocabulary",
    ),
    "label": (HEAD + f"p2,9,F,{PATIENT_VALUE}\n", "'ill', line 2: a label outside the vocabulary"),
    "no patient key": (HEAD + ROW + ",40,F,no\n", "column 'id', line 3: no patient key"),
    "empty file": ("", "the file of records 'records.csv' is empty"),
    "blank file": ("\n\n", "the file of records 'records.csv' is empty"),
    "encoding": (HEAD.encode() + b"p1,60,\xe9,yes\n", "line 2: not utf-8 text"),
    "delimiter": (GOOD.replace(",", ";"), "seem to be separated by ';', expected ','"),
    "short line": (HEAD + ROW + "p2,40,F\n", "line 3: 3 cells where 4 were expected"),
    "open quote": (HEAD + 'p1,"60,F,yes\n', "not CSV"),
    "count": (HEAD + "p,x,F,no\n" * 13, r"column 'age', line 2 \(and 12 more lines\): text"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_table_that_does_not_fit_is_refused_without_a_patients_value(tmp_path, name):
    text, message = REFUSALS[name]
    with pytest.raises(CohortRefused, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith("site north: ")
    assert PATIENT_VALUE not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_file_without_header_and_other_columns_is_refused(tmp_path):
    columns = [{"name": "id", "kind": "other"}, NUMBER, CATEGORY, {"name": "ill", "kind": "other"}]
    with pytest.raises(CohortRefused, match="the file has 5 columns, the contract declares 4"):
        load(tmp_path, "p1,60,F,yes,9\n" * 3, columns=columns, header=False)


def test_missing_file_is_refused_by_its_own_name_only(tmp_path):
    with pytest.raises(CohortRefused, match="'absent.csv' cannot be read: no such file") as caught:
        load_cohort(table(), tmp_path / "absent.csv", site="north")
    assert str(tmp_path) not in str(caught.value)


def test_missing_patient_key_is_refused_even_where_rows_may_be_dropped(tmp_path):
    with pytest.raises(CohortRefused, match="line 2: no patient key"):
        load(tmp_path, HEAD + "NA,40,F,no\n", on_missing="drop_row")


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_refused(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("any") / "records.csv"
    file.write_bytes(HEAD.encode() + data)
    try:
        records = load_cohort(table(), file, site="north")
    except CohortRefused:
        return
    assert np.isfinite(records.features).all()


@pytest.mark.parametrize(
    ("cells", "patients"),
    [(("12", "012", "12.0", "1200"), 2), (("A1", " A1 ", "a1"), 2), (("1e2", "100"), 2)],
)
def test_one_patient_is_not_taken_for_two(cells, patients):
    assert len({patient_token(cell) for cell in cells}) == patients


def test_long_patient_keys_stay_distinct():
    assert patient_token("12345678901234567890") != patient_token("12345678901234567891")


@given(st.lists(st.integers(-5, 5)))
def test_patients_are_numbered_in_order_of_first_appearance(keys):
    numbers, found = number_patients(np.array(keys, dtype=np.int64))
    assert found[numbers].tolist() == keys
    assert found.tolist() == list(dict.fromkeys(keys))


def test_take_numbers_patients_anew_and_keeps_keys_and_rows(tmp_path):
    records = load(tmp_path, GOOD, keep=("sex",)).take(np.array([2, 0]))
    assert records.patients.tolist() == [0, 1] and records.patient_keys == ("p2", "p1")
    assert records.rows.tolist() == [1, 2] and records.columns["sex"].tolist() == ["M", "X"]


def test_digest_names_what_training_depends_on(tmp_path):
    records = load(tmp_path, GOOD)
    assert records.digest == load(tmp_path, GOOD, keep=("age",)).digest
    changed = [GOOD.replace("60", "61"), GOOD.replace("p2,40", "p1,40"), GOOD.replace("yes", "no")]
    assert len({records.digest, *(load(tmp_path, text).digest for text in changed)}) == 4


def test_records_of_uneven_length_are_a_mistake():
    with pytest.raises(ValueError, match="differ in length"):
        Records(
            features=np.zeros((2, 1), np.float32),
            labels=np.zeros(1, np.float32),
            patients=np.zeros(1, np.int64),
            patient_keys=("a",),
            rows=np.zeros(1, np.int64),
        )


BREAST = {
    "kind": "table",
    "patient_key": "row",
    "columns": [
        {"name": "mean radius", "kind": "number", "range": [0, 60], "centre": 14, "scale": 4},
        {"name": "worst texture", "kind": "number", "range": [0, 100], "centre": 25, "scale": 6},
    ],
    "label": {"column": "diagnosis", "positive": ["malignant"], "negative": ["benign"]},
}


def test_bundled_records_are_569_real_patients():
    records = load_cohort(TableCohort.model_validate(BREAST), BUNDLED, site="north")
    assert records.features.shape == (569, 2) and records.num_patients == 569
    assert int(records.labels.sum()) == 212
    assert records.features[0, 0] == np.float32((17.99 - 14) / 4)


IMAGES = ImageCohort.model_validate(
    {
        "kind": "images",
        "patient_key": "row",
        "label": {"positive": [1], "negative": [0]},
        "image": {"shape": [4, 5], "range": [0, 255], "centre": 128, "scale": 64},
        "parts": ["train", "val"],
    }
)


def arrays(**changes):
    random = np.random.default_rng(0)
    contents = {
        "train_images": random.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        "train_labels": np.array([[0], [1], [1], [0], [1], [1]], dtype=np.uint8),
        "val_images": random.integers(0, 256, (3, 4, 5), dtype=np.uint8),
        "val_labels": np.array([1, 0, 1]),
    }
    return {name: value for name, value in (contents | changes).items() if value is not None}


def load_npz(tmp_path, contents, cohort=IMAGES, keep=("part",)):
    np.savez_compressed(tmp_path / "images.npz", **contents)
    return load_cohort(cohort, tmp_path / "images.npz", site="north", keep=keep)


def test_images_get_a_channel_axis_and_the_contracts_scale(tmp_path):
    contents = arrays()
    records = load_npz(tmp_path, contents)
    assert records.features.shape == (9, 1, 4, 5) and records.features.dtype == np.float32
    assert records.features[0, 0, 0, 0] == (contents["train_images"][0, 0, 0] - 128.0) / 64
    assert records.columns["part"].tolist() == ["train"] * 6 + ["val"] * 3


def test_images_of_one_patient_are_found_across_parts(tmp_path):
    cohort = IMAGES.model_copy(update={"patient_key": "child"})
    keys = {"train_child": np.array([7, 7, 3, 2, 1, 1]), "val_child": np.array(["3", "9", "9"])}
    records = load_npz(tmp_path, arrays(**keys), cohort)
    assert records.patients.tolist() == [0, 0, 1, 2, 3, 3, 1, 4, 4]


IMAGE_REFUSALS = {
    "missing array": ({"val_labels": None}, "array 'val_labels' is missing; export it"),
    "shape": ({"val_images": np.zeros((3, 5, 4))}, r"images of shape \(5, 4\), the contract"),
    "length": ({"val_labels": np.zeros(4)}, "expected one entry for each of the 3 images"),
    "complex": ({"val_images": np.zeros((3, 4, 5), complex)}, "holds complex128, expected numbers"),
    "objects": ({"val_images": np.array([[{}], [{}]])}, "array 'val_images' is damaged"),
    "range": ({"val_images": np.full((3, 4, 5), 4711)}, r"outside the range \[0, 255\]"),
    "NaN": ({"val_images": np.full((3, 4, 5), np.nan)}, "or NaN"),
    "label": ({"val_labels": np.array([0, 4711, 4711])}, r"entry 1 \(and 1 more\): a label"),
    "scalar": ({"val_images": np.array(3)}, "is a single number"),
}


@pytest.mark.parametrize("name", IMAGE_REFUSALS)
def test_images_that_do_not_fit_are_refused(tmp_path, name):
    change, message = IMAGE_REFUSALS[name]
    with pytest.raises(CohortRefused, match=message) as caught:
        load_npz(tmp_path, arrays(**change))
    assert str(caught.value).startswith("site north: ") and "4711" not in str(caught.value)


def test_file_that_is_no_npz_or_cut_short_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", **arrays())
    data = (tmp_path / "whole.npz").read_bytes()
    for bad in (b"", b"not a zip", data[: len(data) // 2], data[:-4]):
        (tmp_path / "bad.npz").write_bytes(bad)
        with pytest.raises(CohortRefused, match="not an npz, or is cut short"):
            load_cohort(IMAGES, tmp_path / "bad.npz", site="north")


def test_flipped_bytes_inside_an_array_are_refused(tmp_path):
    np.savez(tmp_path / "images.npz", **arrays())
    data = bytearray((tmp_path / "images.npz").read_bytes())
    data[200] ^= 0xFF  # inside the first array's pixels: its checksum no longer fits
    (tmp_path / "images.npz").write_bytes(data)
    with pytest.raises(CohortRefused, match="array 'train_images' is damaged"):
        load_cohort(IMAGES, tmp_path / "images.npz", site="north")


def write_member(path: Path, header: dict, payload: bytes) -> None:
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", member.getvalue() + payload)


def test_header_that_asks_for_more_memory_than_the_file_has_is_refused(tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 4, 5)}
    write_member(tmp_path / "bomb.npz", header, b"\0" * 100)
    with pytest.raises(CohortRefused, match="array 'train_images' is damaged"):
        load_cohort(IMAGES, tmp_path / "bomb.npz", site="north")


def test_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.sources.images.npz_images.MAX_BYTES", 10_000)
    header = {"descr": "|u1", "fortran_order": False, "shape": (1000, 4, 5)}
    write_member(tmp_path / "bomb.npz", header, b"\0" * 20_000)
    assert (tmp_path / "bomb.npz").stat().st_size < 1000
    with pytest.raises(CohortRefused, match="unpacks to 20128 bytes, the limit is 10000"):
        load_cohort(IMAGES, tmp_path / "bomb.npz", site="north")


def cohort_of(labels, patients=None):
    count = len(labels)
    numbers, keys = number_patients(np.array(patients or range(count), dtype=np.int64))
    return Records(
        features=np.zeros((count, 1), np.float32),
        labels=np.array(labels, dtype=np.float32),
        patients=numbers,
        patient_keys=tuple(str(key) for key in keys),
        rows=np.arange(count),
    )


def check(train, test, declared=4, **changes):
    check_cohort(train, test, table(**changes), site="north", declared=declared)


def test_sound_cohort_is_accepted():
    check(cohort_of([0, 1]), cohort_of([1]), min_patients=3)
    check(cohort_of([1, 1]), cohort_of([1]), allow_one_class=True)
    check(cohort_of([0, 1, 1]), cohort_of([]), min_patients=3)


CHECKS = {
    "no records": ([], [], {}, "no records"),
    "training empty": ([], [0, 1], {}, "the training part is empty"),
    "minimum": (
        [0, 1],
        [1],
        {"min_patients": 4},
        "fewer than 10 patients, the study's minimum is 4",
    ),
    "one class": ([1, 1], [0], {}, "the training part holds one class only"),
    "declared": ([0, 1], [0], {"declared": 1}, "2 training patients, the study declares 1 for it"),
    "tested": ([0, 1], [0, 1, 0], {"declared": 2}, "3 test patients, the study declares 2 for it"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_cohort_that_cannot_be_protected_or_learned_from_is_refused(name):
    train, test, changes, message = CHECKS[name]
    with pytest.raises(CohortRefused, match=message):
        check(cohort_of(train), cohort_of(test), **changes)


def test_minimum_counts_patients_not_records():
    with pytest.raises(CohortRefused, match="fewer than 10 patients, the study's minimum is 3"):
        check(cohort_of([0, 1, 1], patients=[5, 5, 5]), cohort_of([1]), min_patients=3)


def test_columns_to_keep_are_those_of_split_and_deal():
    how = {"rule": "column", "column": "ward"}
    partition = Partitioning.model_validate({"records": "all.csv", "how": how})
    by_column = ColumnSplit(method="column", column="part", train=("a",), test=("b",))
    by_part = small_study().model_copy(update={"split": by_column, "partition": partition})
    assert columns_to_keep(by_part) == ("part", "ward")
    assert columns_to_keep(small_study()) == ()


def test_reading_records_imports_no_torch():
    code = (
        "import sys, pipelines.cohort.loading, pipelines.cohort.partitioning, "
        "pipelines.cohort.splits, pipelines.evaluation.metrics, "
        "compliance.estimates.binned_scores.auroc; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'monai', 'pandas', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
