"""What a hospital counts of its columns, and how far one patient moves it."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cohort.encoding.table_encoding import encode_table
from pipelines.cohort.train_test import parts_of
from pipelines.records import Records
from pipelines.sources.cells import Cells
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused, OutOfOrder
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.column_counts import size_of
from protocol.vectors.evaluation import COUNT_UNITS
from silos.training.counting.column_trainer import ColumnTrainer
from silos.training.randomness import RoundInput, SecretEntropy
from tests.support.simulated.studies import STATISTICS_STUDY

STUDY = read_study(STATISTICS_STUDY)
#: A row: age, ward, patient, ill; an empty cell is missing.
Row = tuple[str, str, str, str]
ROWS: tuple[Row, ...] = (
    ("20", "A", "1", "0"),
    ("80", "B", "2", "1"),
    ("", "C", "3", "1"),
    ("40", "", "4", ""),
    ("100", "C", "4", "1"),
)


def records_of(rows: Sequence[Row], study: Study = STUDY) -> Records:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 4
    cohort = study.cohort
    assert isinstance(cohort, TableCohort)
    table = SourceTable(
        site="east",
        file="east.csv",
        cells={
            name: Cells.of(column)
            for name, column in zip(("age", "ward", "patient", "ill"), columns, strict=True)
        },
        lines=np.arange(2, len(rows) + 2),
        rows=np.arange(len(rows)),
        repeated=np.array([], dtype=np.int64),
    )
    return encode_table(table, cohort, keep=())


def trainer_of(rows: Sequence[Row], study: Study = STUDY) -> ColumnTrainer:
    records = records_of(rows, study)
    return ColumnTrainer(study, "east", records.take(np.zeros(len(records), bool)), records)


def counted(rows: Sequence[Row], study: Study = STUDY) -> np.ndarray:
    return trainer_of(rows, study).counts({})[0]


def test_a_patient_with_several_records_counts_once_by_their_mean_and_first_known_category() -> (
    None
):
    patients, *cells = (counted(ROWS) / COUNT_UNITS).tolist()
    age, ward, ill = cells[:7], cells[7:11], cells[11:]
    # ages 20, 80, missing and (40 + 100) / 2, as places in [0, 120]
    places = np.array([-2 / 3, 1 / 3, 1 / 6])
    assert patients == 4
    assert age[0] == 1
    assert age[1] == pytest.approx(places.sum(), abs=3 / COUNT_UNITS)
    assert age[2] == pytest.approx((2 * places**2 - 1).sum(), abs=3 / COUNT_UNITS)
    assert age[3:] == [1, 0, 2, 0]
    assert ward == [0, 1, 1, 2]
    assert ill == [0, 1, 3]


def test_a_hospitals_own_counts_are_its_patients() -> None:
    _, own, public = trainer_of(ROWS).counts({})
    assert own.tolist() == [4 * COUNT_UNITS, 0, 0, 0]
    assert public.tolist() == [0, 0]


def test_a_patient_who_left_after_the_join_is_in_no_count() -> None:
    trainer = trainer_of(ROWS)
    nobody = np.zeros(0, dtype=np.int64)
    trainer.leave_out(nobody, np.array([3]))
    others = tuple(row for row in ROWS if row[2] != "4")
    assert np.array_equal(trainer.counts({})[0], counted(others))
    assert np.array_equal(trainer.counts({})[1], trainer_of(others).counts({})[1])
    assert len(trainer.patient_scores({})[0]) == 3


_AGES = st.sampled_from(["", "0", "1e-9", "59.999999", "60", "120", "119.9999999"])
_ROWS = st.lists(
    st.tuples(_AGES, st.sampled_from(["", "A", "B", "C"]), st.sampled_from(["", "0", "1"])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(own=_ROWS, bins=st.sampled_from([0, 4, 7]))
def test_no_patient_moves_the_counts_by_more_than_the_noise_is_made_for(
    own: list[tuple[str, str, str]], bins: int
) -> None:
    task = STUDY.task.model_copy(update={"bins": bins})
    study = STUDY.model_copy(update={"task": task})
    crafted = [(age, ward, "crafted", ill) for age, ward, ill in own]
    moved = counted([*ROWS, *crafted], study) - counted(ROWS, study)
    bound = study.evaluation_vector.influence * COUNT_UNITS
    assert int((moved.astype(object) ** 2).sum()) <= round(bound**2)


def test_the_bound_is_reached_at_an_end_of_the_range() -> None:
    moved = counted([("120", "C", "only", "1")]) / COUNT_UNITS
    assert (moved**2).sum() == pytest.approx(STUDY.evaluation_vector.influence**2)


def test_the_counts_are_the_same_however_few_records_are_in_memory_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = counted(ROWS)
    monkeypatch.setattr("silos.training.counting.column_trainer._NUMBERS", 1)
    assert np.array_equal(counted(ROWS), whole)


def test_a_hospital_without_records_counts_nobody() -> None:
    assert not counted(()).any()
    assert len(counted(())) == size_of(STUDY.task.columns(STUDY.cohort))  # type: ignore[union-attr]


def test_every_patient_is_counted_whatever_the_hospitals_split_key() -> None:
    rows = [(str(age), "A", f"p{age}", "1") for age in range(20, 40)]
    for key in (b"a" * 32, b"b" * 32):
        parts = parts_of(records_of(rows), STUDY, key=key, site="east", index_file=None)
        assert [part.num_patients for part in parts] == [0, 20]


def test_a_missing_date_is_counted_as_missing_and_never_as_a_number() -> None:
    text = STATISTICS_STUDY.replace(
        "    - {name: patient,",
        "    - {name: born, kind: date, since: '1900-01-01', unit: years, range: [0, 100]}\n"
        "    - {name: patient,",
    )
    cohort = read_study(text).cohort
    assert isinstance(cohort, TableCohort)
    cells = {"age": "20", "ward": "A", "ill": "1"}
    born, patients = ["1950-01-01", "", "1990-01-01"], ["1", "2", "3"]
    table = SourceTable(
        site="east",
        file="east.csv",
        cells={name: Cells.of([cell] * 3) for name, cell in cells.items()}
        | {"born": Cells.of(born), "patient": Cells.of(patients)},
        lines=np.arange(2, 5),
        rows=np.arange(3),
        repeated=np.array([], dtype=np.int64),
    )
    records = encode_table(table, cohort, keep=())
    none = records.take(np.zeros(3, bool))
    (values, _) = ColumnTrainer(read_study(text), "east", none, records).patient_scores({})
    assert np.isnan(values[:, 2]).tolist() == [False, True, False]
    assert values[[0, 2], 2] == pytest.approx([0.0, 0.8], abs=0.01)


def test_a_minimum_of_a_class_is_asked_of_all_that_are_counted() -> None:
    rows = [(str(age), "A", f"p{age}", "1") for age in range(20, 40)]
    text = STATISTICS_STUDY.replace("min_patients: 4", "min_patients: 4\n  min_per_class: 2")
    study = read_study(text)
    both = [*rows, ("50", "A", "q", "0"), ("51", "A", "r", "0")]
    assert parts_of(records_of(both, study), study, key=b"", site="east", index_file=None)
    with pytest.raises(CohortRefused, match="a negative label in the counted part"):
        parts_of(records_of(rows, study), study, key=b"", site="east", index_file=None)


def test_nothing_is_trained() -> None:
    trainer = trainer_of(ROWS)
    given = RoundInput(model={}, number=0, attempt=0, noise_multiplier=1.0)
    for train in (trainer.update, trainer.noised_sum):
        with pytest.raises(OutOfOrder, match="no round of training"):
            train(given, SecretEntropy())
    assert trainer.initial_model() == {}
