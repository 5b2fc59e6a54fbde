"""No patient is ever in both parts, and a split file is taken literally or refused."""

import hashlib
import hmac
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cohort.loading import load_cohort
from pipelines.cohort.splits import split
from pipelines.records import EncodingNotes, Records, number_patients
from protocol.errors import CohortRefused, StudyRefused
from protocol.study.study import ColumnSplit, FileSplit, KeyedHashSplit
from protocol.study.study_file import read_study
from tests import ROOT

KEY = b"0123456789abcdef"
HEART = ROOT / "examples" / "heart-disease"
HEART_DATA = ROOT / "collegium" / "studies" / "heart_disease"


def records_of(patients, part=None, rows=None):
    numbers, keys = number_patients(np.array(patients, dtype=np.int64))
    return Records(
        features=np.zeros((len(numbers), 1), np.float32),
        labels=np.zeros(len(numbers), np.float32),
        patients=numbers,
        patient_keys=tuple(f"key-{key}" for key in keys),
        rows=np.arange(len(numbers)) if rows is None else np.array(rows),
        columns={} if part is None else {"part": np.array(part)},
    )


def by_hash(records, fraction=0.3, key=KEY):
    return split(records, KeyedHashSplit(test_fraction=fraction), key=key, site="north")


def by_column(records, train=("a",), test=("b",)):
    rule = ColumnSplit(method="column", column="part", train=train, test=test)
    return split(records, rule, key=KEY, site="north")


def by_file(records, text, sha256=None):
    data = None if text is None else text.encode() if isinstance(text, str) else text
    rule = FileSplit(method="file", file="split.csv", sha256=sha256)
    return split(records, rule, key=b"", site="north", index_file=data)


@given(patients=st.lists(st.integers(0, 30), min_size=1), fraction=st.floats(0.01, 0.99))
def test_keyed_hash_puts_every_patient_whole_into_one_part(patients, fraction):
    train, test = by_hash(records_of(patients), fraction)
    assert not set(train.patient_keys) & set(test.patient_keys)
    assert len(train) + len(test) == len(patients)


def test_keyed_hash_is_the_hmac_of_the_patient_key():
    records = records_of(range(200))
    _, test = by_hash(records, 0.3)
    marks = {k: hmac.new(KEY, k.encode(), hashlib.sha256).digest() for k in records.patient_keys}
    expected = {k for k, m in marks.items() if int.from_bytes(m[:8], "big") / 2**64 < 0.3}
    assert set(test.patient_keys) == expected and 40 < len(expected) < 80


def test_patient_keeps_its_part_when_records_change():
    _, test = by_hash(records_of(range(100)))
    _, later = by_hash(records_of([*range(149, 49, -1), *range(120, 150)]))
    kept = {f"key-{number}" for number in range(50, 100)}
    assert set(test.patient_keys) & kept == set(later.patient_keys) & kept


def test_hospitals_with_other_keys_split_otherwise():
    first, second = (by_hash(records_of(range(100)), key=key) for key in (KEY, KEY[::-1]))
    assert first[1].patient_keys != second[1].patient_keys


def test_short_split_key_is_a_mistake():
    with pytest.raises(ValueError, match="at least 16 bytes, got 4"):
        by_hash(records_of([1]), key=b"abcd")


def test_column_split_uses_the_listed_values_only():
    train, test = by_column(records_of(range(5), ["a", "b", "c", "1", "a"]), train=("a", 1))
    assert train.rows.tolist() == [0, 3, 4] and test.rows.tolist() == [1]


@pytest.mark.parametrize("part", [["a", "b", "a"], ["b", "a", "a"]])
def test_column_that_puts_a_patient_into_both_parts_is_refused(part):
    with pytest.raises(CohortRefused, match="fewer than 10 patients with records in both"):
        by_column(records_of([7, 7, 8], part))


def test_column_that_marks_no_record_is_refused():
    with pytest.raises(CohortRefused, match="column 'part' marks no record for the test part"):
        by_column(records_of(range(2), ["a", "a"]))


def test_value_listed_for_both_parts_is_refused():
    with pytest.raises(StudyRefused, match="1 is listed for training and for test"):
        by_column(records_of(range(2), ["1", "a"]), train=("a", 1), test=(1.0,))


INDEX = "site,row,part\nnorth,10,test\nsouth,0,train\nnorth,30,train\nnorth,20,train\n"


def test_file_split_follows_rows_of_the_source():
    train, test = by_file(records_of(range(4), rows=[10, 20, 30, 40]), INDEX)
    assert train.rows.tolist() == [20, 30] and test.rows.tolist() == [10]


def test_file_split_refuses_the_rows_of_a_query_which_have_no_place():
    records = replace(records_of([1, 2]), noted=EncodingNotes(has_order=False))
    with pytest.raises(CohortRefused, match="names rows by their place, and a query's rows"):
        by_file(records, "site,row,part\nnorth,0,train\nnorth,1,test\n")


def test_file_split_refuses_a_patient_in_both_parts():
    with pytest.raises(CohortRefused, match="fewer than 10 patients with records in both"):
        by_file(records_of([5, 5, 6], rows=[10, 20, 30]), INDEX)


def test_file_split_checks_the_digest_of_the_index():
    digest = hashlib.sha256(INDEX.encode()).hexdigest()
    records = records_of(range(3), rows=[10, 20, 30])
    assert len(by_file(records, INDEX, digest)[0]) == 2
    with pytest.raises(StudyRefused, match="is not the one the study names"):
        by_file(records, INDEX + "south,1,test\n", digest)


HEADER = "site,row,part\n"
MALFORMED = {
    "absent": (None, "the index file 'split.csv' is missing beside the study"),
    "empty": ("", "split.csv:1: the header must be site,row,part"),
    "header": ("row,site,part\n", "split.csv:1: the header must be"),
    "part": (HEADER + "north,1,validation\n", "split.csv:2: the part must be train or test"),
    "negative row": (HEADER + "north,-1,test\n", "split.csv:2: expected a site, a row from 0"),
    "fraction": (HEADER + "north,1.0,test\n", "expected a site, a row from 0"),
    "other digits": (HEADER + "north,\u0661,test\n", "expected a site, a row from 0"),
    "short": (HEADER + "north,1\n", "expected a site, a row from 0, a part"),
    "twice": (HEADER + "north,1,test\nnorth,1,test\n", "split.csv:3: row 1 of north is named"),
    "binary": (b"\xff\xfe", "split.csv: not CSV text"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_index_is_refused(name):
    text, message = MALFORMED[name]
    with pytest.raises(StudyRefused, match=message):
        by_file(records_of(range(3)), text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "north,0,train\nnorth,9,test\n",
            "names row 9, which is not among .* fewer than 10 records",
        ),
        (HEADER + "south,0,train\n", "does not name this site"),
    ],
)
def test_index_for_other_records_is_refused(text, message):
    with pytest.raises(CohortRefused, match=message):
        by_file(records_of(range(3)), text)


@pytest.mark.parametrize("name", ["study.yaml", "study-no-privacy.yaml"])
def test_heart_disease_example_has_exactly_flambys_patients(name):
    study = read_study((HEART / name).read_text(encoding="utf-8"), name)
    index = (HEART / "split.csv").read_bytes()
    counts = {}
    for site in study.sites:
        records = load_cohort(study.cohort, HEART_DATA / site.records, site=site.name)
        parts = split(records, study.split, key=b"", site=site.name, index_file=index)
        counts[site.name] = [(len(part), int(part.labels.sum())) for part in parts]
    assert study.cohort.width == 13
    assert counts == {  # FLamby, fed_heart_disease: training and test patients, diseased of them
        "cleveland": [(199, 91), (104, 48)],
        "hungarian": [(172, 65), (89, 33)],
        "switzerland": [(30, 30), (16, 15)],
        "va": [(85, 66), (45, 35)],
    }


def test_heart_disease_split_is_what_its_script_writes():
    written = subprocess.run(
        [sys.executable, HEART / "make_split.py", HEART_DATA], capture_output=True, check=True
    )
    assert written.stdout == (HEART / "split.csv").read_bytes()
