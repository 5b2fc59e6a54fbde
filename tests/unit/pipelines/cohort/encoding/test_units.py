"""Numbers are converted where hospital and contract name a unit, and another unit is found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.cohort.inspection.columns import column_remarks
from pipelines.cohort.loading import load_cohort
from pipelines.cohort.plausibility import implausible, remarks
from pipelines.cohort.quality import column_counts
from pipelines.records import Records
from pipelines.sources.source import RecordFile
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.cohort.columns import NumberColumn
from protocol.study.cohort.units import Conversion, canonical_unit, well_known

FAHRENHEIT = {"scale": 5 / 9, "offset": -160 / 9}
TEMPERATURE: dict[str, Any] = {
    "name": "temperature", "kind": "number", "range": [34, 43], "centre": 37, "scale": 1,
    "unit": "Cel", "units": {"degF": FAHRENHEIT},
}  # fmt: skip
TABLE = {
    "kind": "table",
    "patient_key": "row",
    "label": {"column": "ill", "positive": [1], "negative": [0]},
    "min_patients": 1,
}
#: Twelve temperatures in degrees Fahrenheit.
WARM = [98.6, 99.5, 100.4, 97.7, 101.3, 98.6, 104.0, 96.8, 98.2, 99.0, 100.0, 102.2]


def load(
    tmp_path: Path,
    cells: list[Any],
    said: dict[str, str] | None = None,
    name: str = "temperature",
    **changes: Any,
) -> tuple[Records, TableCohort]:
    column = TEMPERATURE | {"name": name} | changes
    cohort = TableCohort.model_validate(TABLE | {"columns": [column]})
    file = tmp_path / "records.csv"
    file.write_text(f"{name},ill\n" + "".join(f"{c},{i % 2}\n" for i, c in enumerate(cells)))
    source = RecordFile(path=file, units=said or {})
    return load_cohort(cohort, source, site="north"), cohort


def test_a_column_in_another_unit_is_converted_where_the_hospital_says_so(tmp_path: Path) -> None:
    records, cohort = load(tmp_path, WARM, {"temperature": "degF"})
    assert records.features[:, 0] == pytest.approx((np.array(WARM) - 32) / 1.8 - 37, abs=1e-5)
    (counts,) = column_counts(records, cohort=cohort)
    assert counts.converted == 12


@pytest.mark.parametrize("unit", ["degC", "Cel", "°C"])
def test_the_columns_own_unit_in_any_spelling_changes_nothing(tmp_path: Path, unit: str) -> None:
    records, cohort = load(tmp_path, [36.5, 38], {"temperature": unit, "weight": "lb"})
    assert records.features[:, 0].tolist() == [-0.5, 1]
    assert column_counts(records, cohort=cohort)[0].converted == 0


def test_a_factor_alone_is_a_conversion(tmp_path: Path) -> None:
    changes = {"range": [0, 300], "unit": "mmHg", "units": {"kPa": 7.50062}}
    records, _ = load(tmp_path, [16, 20], {"pressure": "kPa"}, "pressure", **changes)
    assert records.features[:, 0] == pytest.approx([16 * 7.50062 - 37, 20 * 7.50062 - 37])


@pytest.mark.parametrize("unit", ["K", "kPa"])
def test_a_unit_that_the_contract_does_not_name_is_refused(tmp_path: Path, unit: str) -> None:
    with pytest.raises(CohortRefused, match=f"say {unit}, which the study does not convert") as no:
        load(tmp_path, [310, 311], {"temperature": unit})
    assert "it knows Cel, degF" in str(no.value) and "310" not in str(no.value)


def test_missing_codes_and_replaced_texts_are_not_converted(tmp_path: Path) -> None:
    changes = {"missing": [-17.777], "impute": 37, "replace": {"normal": 36.5}}
    cells = [-17.777, "normal", 98.6]
    records, cohort = load(tmp_path, cells, {"temperature": "degF"}, **changes)
    assert records.features[:, 0] == pytest.approx([0, -0.5, 0], abs=1e-6)
    (counts,) = column_counts(records, cohort=cohort)
    assert (counts.converted, counts.imputed, counts.replaced) == (1, 1, 1)


def test_numbers_outside_the_range_are_clipped_after_the_conversion(tmp_path: Path) -> None:
    records, cohort = load(tmp_path, [98.6, 120], {"temperature": "degF"}, outside="clip")
    assert records.features[:, 0] == pytest.approx([0, 6], abs=1e-6)
    assert column_counts(records, cohort=cohort)[0].clipped == 1


def test_a_fahrenheit_column_is_found_and_named(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused) as refused:
        load(tmp_path, WARM)
    assert str(refused.value) == (
        "site north: records.csv: column 'temperature': 100% of the cells are outside [34, 43], "
        "and 100% are inside as degF; write units: {temperature: degF} under data in the site file "
        "[wrong-unit]"
    )


def test_a_unit_that_was_said_wrongly_is_found_too(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match=r"inside as Cel; write units: \{temperature: Cel\}"):
        load(tmp_path, [36 + i / 10 for i in range(12)], {"temperature": "degF"})


def test_of_clipped_numbers_the_other_unit_is_what_makes_them_implausible(tmp_path: Path) -> None:
    records, cohort = load(tmp_path, WARM, outside="clip")
    (found,) = implausible(records, cohort=cohort)
    assert "inside as degF; write units: {temperature: degF} under data" in str(found)


@pytest.mark.parametrize(
    ("name", "changes", "cells", "said"),
    [
        ("weight", {"range": [30, 150], "unit": "kg"}, range(151, 240, 7), "inside as lb; convert"),
        ("height", {"range": [120, 220], "unit": "cm"}, range(50, 80, 2), "inside as in; convert"),
        ("age", {"range": [18, 120], "unit": "years"}, range(220, 900, 50), "inside as month;"),
        ("share", {"range": [0, 1], "unit": "1"}, range(10, 90, 7), "inside as percent; convert"),
        ("warmth", {"units": {}}, WARM, "write units: {degF: {scale: 0.555555555556, offset: -17"),
    ],
)
def test_well_known_units_are_named_though_no_contract_names_them(
    tmp_path: Path, name: str, changes: dict[str, Any], cells: Any, said: str
) -> None:
    with pytest.raises(CohortRefused) as refused:
        load(tmp_path, list(cells), name=name, **({"units": {}, "centre": 0} | changes))
    assert said in str(refused.value)


#: Forty temperatures in degrees Celsius.
MILD = [36 + i / 20 for i in range(40)]


def test_some_cells_in_another_unit_are_found_and_named(tmp_path: Path) -> None:
    records, cohort = load(tmp_path, [*MILD, *WARM], outside="clip")
    assert not implausible(records, cohort=cohort)
    (found,) = remarks(records, cohort)
    assert str(found) == (
        "column 'temperature': 23% of the cells are outside [34, 43] and would be inside as degF; "
        "are they in degF? Then export the whole column in Cel; else ask for a "
        "wider range [some-in-another-unit]"
    )


def test_of_several_units_that_fit_the_one_that_is_most_like_the_rest_is_named(
    tmp_path: Path,
) -> None:
    ages = [*[40 + i for i in range(40)], *[12 * (40 + i) for i in range(12)]]
    changes = {"range": [0, 120], "unit": "years", "units": {}, "outside": "clip"}
    records, cohort = load(tmp_path, ages, name="age", **changes)
    assert "inside as month" in str(next(remarks(records, cohort)))


def test_where_cells_outside_are_refused_their_unit_is_named_beside_them(tmp_path: Path) -> None:
    with pytest.raises(CohortRefused, match=r"\[outside-range\]") as refused:
        load(tmp_path, [*MILD, *WARM])
    assert "inside as degF" in str(refused.value)


@pytest.mark.parametrize(
    "cells",
    [
        [*MILD, *WARM[:9]],  # fewer than ten
        [*MILD * 6, *WARM],  # less than a twentieth
        [*MILD, *[99] * 8, *[999] * 8],  # codes for missing
        [*MILD, *[98.6] * 12],  # one number
        [*MILD, *[60 + i for i in range(12)]],  # no unit fits
    ],
)
def test_cells_outside_that_may_be_otherwise_explained_are_only_counted(
    tmp_path: Path, cells: list[float]
) -> None:
    records, cohort = load(tmp_path, cells, outside="clip")
    assert "some-in-another-unit" not in {fault.name for fault in remarks(records, cohort)}


@pytest.mark.parametrize(
    ("cells", "said", "names"),
    [
        ([*MILD, *WARM, 99, "NA"], {}, set()),
        ([*WARM, 99, "NA"], {"temperature": "degF"}, set()),
        ([*MILD, 99, "NA"], {}, {"two-missing-codes"}),
        ([*WARM, 999, "NA"], {"temperature": "degF"}, {"two-missing-codes"}),
    ],
)
def test_a_number_that_another_unit_explains_is_no_code_for_missing(
    tmp_path: Path, cells: list[Any], said: dict[str, str], names: set[str]
) -> None:
    column = TEMPERATURE | {"outside": "clip", "impute": 37}
    cohort = TableCohort.model_validate(TABLE | {"columns": [column], "missing": ["NA"]})
    file = tmp_path / "records.csv"
    file.write_text("temperature,ill\n" + "".join(f"{c},{i % 2}\n" for i, c in enumerate(cells)))
    table = RecordFile(path=file, units=said).table(cohort, site="north", keep=())
    assert {fault.name for fault in column_remarks(table, cohort)} == names


@pytest.mark.parametrize(
    ("cells", "changes"),
    [
        (WARM[:9], {}),  # of fewer than ten numbers no part means anything
        ([200.0 + i for i in range(12)], {}),  # nothing fits
        ([*WARM[:6], *[37 + i / 10 for i in range(6)]], {}),  # not most
        (WARM, {"unit": None, "units": {}}),  # of a column without a unit nothing is known
    ],
)
def test_where_no_unit_explains_the_numbers_the_cells_are_refused(
    tmp_path: Path, cells: list[float], changes: dict[str, Any]
) -> None:
    with pytest.raises(CohortRefused, match=r"line 2 .*outside the range \[34, 43\]") as refused:
        load(tmp_path, cells, **changes)
    assert "inside as" not in str(refused.value)


@given(
    scale=st.floats(1e-6, 1e6),
    offset=st.floats(-1e6, 1e6),
    numbers=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=20),
)
def test_a_conversion_keeps_the_order_and_is_one_product_and_one_sum(
    scale: float, offset: float, numbers: list[float]
) -> None:
    how = Conversion(scale=scale, offset=offset)
    converted = [how.of(number) for number in sorted(numbers)]
    assert converted == sorted(converted)
    exact = np.array(sorted(numbers), dtype=np.float64) * scale + offset
    assert converted == exact.tolist()


@given(number=st.floats(-1e6, 1e6))
def test_well_known_conversions_lead_back(number: float) -> None:
    for unit, other in (("Cel", "[degF]"), ("kg", "[lb_av]"), ("a", "mo"), ("mm[Hg]", "kPa")):
        there, back = well_known(unit)[other], well_known(other)[unit]
        assert back.of(there.of(number)) == pytest.approx(number, rel=1e-9, abs=1e-9)


def test_the_encoding_of_a_record_depends_on_that_record_and_the_contract(tmp_path: Path) -> None:
    whole, _ = load(tmp_path, WARM, {"temperature": "degF"})
    for place in (0, 6, 11):
        alone, _ = load(tmp_path, [WARM[place]], {"temperature": "degF"})
        assert alone.features.tolist() == whole.features[place : place + 1].tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unit": None}, "say unit"),
        ({"units": {"degC": 1.0}}, "one unit is named twice"),
        ({"units": {"degF": FAHRENHEIT, "[degF]": FAHRENHEIT}}, "one unit is named twice"),
        ({"units": {"degF": -1}}, "greater than 0"),
        ({"units": {"degF": {"scale": 0}}}, "greater than 0"),
        ({"unit": "deg C"}, "pattern"),
        ({"missing": [36]}, "36 lies inside the range; if no measured number"),
        ({"missing": [99]}, "99 lies inside the range as degF; if no"),
        ({"missing": ["normal"], "replace": {"normal": 37}}, "'normal' is replaced, and means"),
    ],
)
def test_contradictions_are_refused_when_the_study_is_read(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        TableCohort.model_validate(TABLE | {"columns": [TEMPERATURE | changes]})


def test_what_is_not_declared_does_not_enter_the_digest() -> None:
    plain = {"name": "age", "kind": "number", "range": (0, 120)}
    found = NumberColumn.model_validate(plain).model_dump()
    assert not {"unit", "units", "missing", "missing_in_range"} & found.keys()


def test_a_column_with_units_is_read_again_from_what_it_says() -> None:
    column = NumberColumn.model_validate(TEMPERATURE | {"missing": [-1, "NA"]})
    assert NumberColumn.model_validate(column.model_dump(mode="json")) == column


def test_everyday_spellings_stand_for_ucums() -> None:
    assert canonical_unit("degF") == canonical_unit("°F") == canonical_unit("[degF]")
    assert canonical_unit("mmol/l") == "mmol/L" and canonical_unit("U/L") == "U/L"
    assert canonical_unit("ml") == "mL" and canonical_unit("mol") == "mol"


MISSING_COLUMNS: list[dict[str, Any]] = [
    {"name": "age", "kind": "number", "range": [0, 120], "missing": [-1, 999], "impute": 50},
    {"name": "lab", "kind": "number", "range": [-5, 2000], "impute": 7},
    {"name": "sex", "kind": "category", "values": [1, 2], "missing": [9], "impute": 2},
    {"name": "ill", "kind": "other", "missing": [8]},
]


def test_each_column_has_missing_codes_of_its_own(tmp_path: Path) -> None:
    cohort = TableCohort.model_validate(
        TABLE | {"columns": MISSING_COLUMNS, "on_missing": "drop_row"}
    )
    file = tmp_path / "records.csv"
    file.write_text("age,lab,sex,ill\n999.0,999,9.0,1\n-1,-1,1,0\n30,8,2,8\n?,9,1,1\n")
    records = load_cohort(cohort, file, site="north")
    assert records.features.tolist() == [[50, 999, 1], [50, -1, 0], [50, 9, 0]]
    assert {name: rows.tolist() for name, rows in records.noted.missing.items()} == {
        "age": [0, 1, 3], "sex": [0], "ill": [2],
    }  # fmt: skip


def test_a_code_inside_the_range_needs_saying_so(tmp_path: Path) -> None:
    column = {"name": "age", "kind": "number", "range": [0, 120], "missing": [0], "impute": 50}
    cohort = TableCohort.model_validate(TABLE | {"columns": [column | {"missing_in_range": True}]})
    file = tmp_path / "records.csv"
    file.write_text("age,ill\n0,1\n1,0\n")
    assert load_cohort(cohort, file, site="north").features[:, 0].tolist() == [50, 1]


def test_columns_beside_images_are_converted_as_a_tables_are(tmp_path: Path) -> None:
    cohort = ImageCohort.model_validate(
        {
            "kind": "images", "patient_key": "row", "parts": ["train"],
            "label": {"positive": [1], "negative": [0]},
            "image": {"shape": [2, 2], "range": [0, 1], "centre": 0, "scale": 1},
            "columns": [TEMPERATURE | {"missing": [-1], "impute": 38}],
        }
    )  # fmt: skip
    file = tmp_path / "records.npz"
    np.savez(file, train_images=np.zeros((3, 2, 2)), train_labels=np.array([0, 1, 1]),
             train_temperature=np.array([98.6, 104, -1]))  # fmt: skip
    source = RecordFile(path=file, units={"temperature": "degF"})
    records = load_cohort(cohort, source, site="north")
    assert records.features[:][:, -1] == pytest.approx([0, 3, 1], abs=1e-5)
    assert records.noted.converted["temperature"].tolist() == [0, 1]
    with pytest.raises(CohortRefused, match="'temperature': units under data .* say K, which"):
        load_cohort(cohort, RecordFile(path=file, units={"temperature": "K"}), site="north")
