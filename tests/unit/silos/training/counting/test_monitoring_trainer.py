"""What a hospital counts for one release: histograms, and the bins of a released model's scores."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.encoding import digest
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.tensors import encode_tensors
from silos.training.counting.monitoring_trainer import MonitoringTrainer
from tests.support.simulated.studies import MONITORING_STUDY
from tests.unit.protocol.study.task.test_monitoring_study import SCORED_STUDY
from tests.unit.silos.training.counting.test_column_trainer import Row, records_of

#: Logit = 2 x encoded age + 1 for ward B - 1 for ward C.
PARAMETERS = encode_tensors(
    {
        "output.weight": np.array([[2.0, 1.0, -1.0]], dtype=np.float32),
        "output.bias": np.zeros(1, dtype=np.float32),
    }
)


def scored(*, impute: str = "impute: {age: 50}") -> Study:
    text = SCORED_STUDY.replace("a" * 64, digest(PARAMETERS)).replace("impute: {age: 50}", impute)
    study = read_study(text)
    assert study.task.pretrained is not None
    study.task.pretrained.attach(PARAMETERS)
    return study


def trainer_of(rows: Sequence[Row], study: Study) -> MonitoringTrainer:
    records = records_of(rows, study)
    return MonitoringTrainer(study, "east", records.take(np.zeros(len(records), bool)), records)


def scores_of(rows: Sequence[Row], study: Study) -> list[float]:
    counts = trainer_of(rows, study).counts({})[0] / COUNT_UNITS
    return list(map(float, counts[-5:]))  # missing, then four bins: ends -0.85, 0.5, 1.85


ROWS: tuple[Row, ...] = (
    ("50", "A", "1", "0"),  # logit 0
    ("70", "B", "2", "1"),  # 3
    ("30", "C", "3", "1"),  # -3
    ("60", "A", "4", ""),  # 1
    ("60", "C", "4", "1"),  # 0, so the patient's mean is 0.5
)


def test_each_patient_counts_in_the_bin_of_its_mean_logit() -> None:
    assert scores_of(ROWS, scored()) == [0, 1, 1, 1, 1]


def test_a_missing_cell_is_imputed_where_the_model_was_and_else_leaves_no_score() -> None:
    rows: tuple[Row, ...] = (("", "A", "1", "0"), ("50", "", "2", "1"))
    assert scores_of(rows, scored()) == [1, 0, 1, 0, 0]
    assert scores_of(rows, scored(impute="impute: {age: 70, ward: B}")) == [0, 0, 0, 1, 1]
    assert scores_of(rows, scored(impute="impute: {}")) == [2, 0, 0, 0, 0]


def test_missing_cells_are_counted_whatever_is_imputed_for_the_model() -> None:
    rows: tuple[Row, ...] = (("", "A", "1", "0"), ("50", "", "2", ""))
    counts = trainer_of(rows, scored()).counts({})[0] / COUNT_UNITS
    assert counts.tolist()[:6] == [2, 1, 0, 1, 0, 0]  # patients; age: missing, four bins
    assert counts.tolist()[6:10] == [1, 1, 0, 0]
    assert counts.tolist()[10:13] == [1, 1, 0]


def test_a_patient_who_left_is_in_no_count() -> None:
    trainer = trainer_of(ROWS, scored())
    trainer.leave_out(np.zeros(0, dtype=np.int64), np.array([3]))
    assert np.array_equal(trainer.counts({})[0], trainer_of(ROWS[:3], scored()).counts({})[0])


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "0", "59.9", "120"]),
        st.sampled_from(["", "A", "B", "C"]),
        st.sampled_from(["", "0", "1"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(own=_ROWS)
def test_no_patient_moves_the_counts_by_more_than_the_noise_is_made_for(
    own: list[tuple[str, str, str]],
) -> None:
    study = scored()
    crafted = [(age, ward, "crafted", ill) for age, ward, ill in own]
    after = trainer_of([*ROWS, *crafted], study).counts({})[0]
    moved = (after - trainer_of(ROWS, study).counts({})[0]) / COUNT_UNITS
    assert (moved**2).sum() == pytest.approx(study.evaluation_vector.influence**2)


def test_without_a_model_columns_alone_are_counted() -> None:
    study = read_study(MONITORING_STUDY)
    assert len(trainer_of(ROWS, study).counts({})[0]) == study.evaluation_vector.size
