"""Dealing gives every record to exactly one site, by the study alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cohort.partitioning import partition_records
from pipelines.records import Records, number_patients
from protocol.errors import CohortRefused
from protocol.study.study import Partitioning, Site

SITES = tuple(Site(name=name, patients=10) for name in ("a", "b", "c"))


def records_of(patients, labels=None, ward=None):
    numbers, keys = number_patients(np.array(patients, dtype=np.int64))
    count = len(numbers)
    return Records(
        features=np.arange(count, dtype=np.float32)[:, None],
        labels=np.zeros(count, np.float32) if labels is None else np.array(labels, np.float32),
        patients=numbers,
        patient_keys=tuple(str(key) for key in keys),
        rows=np.arange(count) * 10,
        columns={} if ward is None else {"ward": np.array(ward)},
    )


def skew(shares=(1, 1, 1), concentration=8.0, seed=0):
    how = {"rule": "label_skew", "shares": shares, "concentration": concentration, "seed": seed}
    return Partitioning.model_validate({"records": "all.csv", "how": how})


BY_WARD = Partitioning.model_validate(
    {"records": "all.csv", "how": {"rule": "column", "column": "ward"}}
)


@given(
    patients=st.lists(st.integers(0, 60), min_size=40, max_size=120),
    concentration=st.floats(1.0, 100),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=60, deadline=None)
def test_skewed_deal_gives_every_patient_whole_to_one_site(patients, concentration, seed):
    records = records_of(patients, labels=[p % 2 for p in patients])
    try:
        hands = partition_records(records, skew(concentration=concentration, seed=seed), SITES)
    except CohortRefused as refusal:
        assert "gives it no records" in str(refusal)
        return
    rows = np.concatenate([hand.rows for hand in hands.values()])
    assert sorted(rows.tolist()) == records.rows.tolist()
    keys = [key for hand in hands.values() for key in hand.patient_keys]
    assert sorted(keys) == sorted(records.patient_keys)


def test_skewed_deal_is_a_function_of_its_seed():
    records = records_of(range(300), labels=[p % 2 for p in range(300)])
    digests = [
        [hand.digest for hand in partition_records(records, skew(seed=seed), SITES).values()]
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_shares_hold_when_the_concentration_is_high():
    records = records_of(range(1000), labels=[p % 4 == 0 for p in range(1000)])
    hands = partition_records(records, skew(shares=(5, 3, 2), concentration=1e6), SITES)
    sizes = [hand.num_patients for hand in hands.values()]
    assert np.allclose(sizes, [500, 300, 200], atol=10)
    assert all(abs(hand.labels.mean() - 0.25) < 0.02 for hand in hands.values())


def test_low_concentration_gives_sites_different_prevalence():
    records = records_of(range(2000), labels=[p % 2 for p in range(2000)])

    def spread(concentration):
        hands = partition_records(records, skew(concentration=concentration, seed=3), SITES)
        return float(np.std([hand.labels.mean() for hand in hands.values()]))

    assert spread(2.0) > 5 * spread(1e5)


def test_patient_with_both_labels_stays_whole():
    records = records_of([0, 0, 1, 2, 3, 4] * 20, labels=[0, 1, 0, 1, 0, 1] * 20)
    hands = partition_records(records, skew(concentration=100), SITES)
    assert sum(hand.num_patients for hand in hands.values()) == 5


def test_column_deal_follows_value_else_name():
    sites = (
        Site(name="a", value=1, patients=10),
        Site(name="b", value="x", patients=10),
        Site(name="c", patients=10),
    )
    records = records_of(range(4), ward=["c", "1", "x", "1"])
    hands = partition_records(records, BY_WARD, sites)
    assert {name: hand.rows.tolist() for name, hand in hands.items()} == {
        "a": [10, 30],
        "b": [20],
        "c": [0],
    }


def test_patient_of_two_hospitals_is_a_patient_of_both():
    hands = partition_records(records_of([7, 7, 8, 9], ward=["a", "b", "b", "c"]), BY_WARD, SITES)
    assert hands["a"].patient_keys == ("7",) and hands["b"].patient_keys == ("7", "8")


def test_records_of_other_hospitals_are_left_out_where_the_study_says_so():
    how = {"rule": "column", "column": "ward", "others": "leave_out"}
    rule = Partitioning.model_validate({"records": "all.csv", "how": how})
    hands = partition_records(records_of(range(4), ward=["a", "b", "d", "c"]), rule, SITES)
    assert {name: hand.rows.tolist() for name, hand in hands.items()} == {
        "a": [0], "b": [10], "c": [30],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ward", "sites", "message"),
    [
        (["a", "b", "d", "d"], SITES, "2 records belong to none of the 3 sites"),
        (["a", "b", "b", "b"], SITES, "site c: the study's partition gives it no records"),
        (
            ["a"] * 4,
            (*SITES[:2], Site(name="c", value="a", patients=10)),
            "two sites have the same value",
        ),
    ],
)
def test_column_deal_that_does_not_fit_is_refused(ward, sites, message):
    with pytest.raises(CohortRefused, match=message):
        partition_records(records_of(range(4), ward=ward), BY_WARD, sites)


def test_skewed_deal_that_starves_a_site_is_refused():
    with pytest.raises(CohortRefused, match="no records; amend shares, concentration or seed"):
        partition_records(records_of(range(2)), skew(), SITES)
