"""Splits: which patients train and which test; never the same one in both.

Rules:

1. A split goes by patient. A rule that would put one patient into both parts
   is refused, whatever the rule.
2. ``keyed_hash`` depends on the hospital's own key and the patient's key only:
   a patient keeps its part when records are added, reordered or withdrawn, and
   nobody without the key can tell who is in which part.
"""

import csv
import hmac
import io
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from pipelines.sources.faults import refused
from pipelines.sources.faults.small_counts import few
from protocol.counted import counted
from protocol.encoding import digest
from protocol.errors import StudyRefused
from protocol.study.cohort.vocabulary import Token, canonical_token
from protocol.study.study import ColumnSplit, FileSplit, KeyedHashSplit, Split

#: An index file of a million records is about 30 MB.
MAX_INDEX_BYTES = 10**8
_ROW = re.compile(r"0|[1-9][0-9]{0,14}")


def split(
    records: Records, split: Split, *, key: bytes, site: str, index_file: bytes | None = None
) -> tuple[Records, Records]:
    """Returns a site's training and test records.

    Args:
        records: the site's records, with the column that the rule looks at.
        split: the study's rule.
        key: the hospital's own secret, at least 16 bytes; only for ``keyed_hash``.
        site: whose records these are.
        index_file: the bytes of the file that a ``file`` split names.

    Guarantee: no patient is in both parts. Records in neither are not used.

    Raises:
        CohortRefused: a patient would be in both parts, or rows do not exist.
        StudyRefused: the index file is absent, altered or malformed.
    """
    if isinstance(split, KeyedHashSplit):
        test = _by_keyed_hash(records, split, key)
        return records.take(~test), records.take(test)
    if isinstance(split, ColumnSplit):
        train, test = _by_column(records, split, site)
    else:
        train, test = _by_file(records, split, index_file, site)
    both = np.intersect1d(records.patients[train], records.patients[test])
    if len(both):
        raise refused(
            site,
            "patient-in-both-parts",
            f"{few(len(both), 'patient')} with records in both the training and the test part",
            "amend the split so that each patient is in one",
        )
    return records.take(train), records.take(test)


def _by_keyed_hash(records: Records, split: KeyedHashSplit, key: bytes) -> NDArray[np.bool_]:
    if len(key) < 16:
        raise ValueError(f"a split key needs at least 16 bytes, got {len(key)}")
    limit = int(split.test_fraction * 2**64)
    tested = np.array([_fraction(key, name) < limit for name in records.patient_keys], dtype=bool)
    mask: NDArray[np.bool_] = tested[records.patients]
    return mask


def _fraction(key: bytes, patient_key: str) -> int:
    """Returns a patient's place on the 64-bit line, known only with the hospital's key."""
    mark = hmac.digest(key, patient_key.encode(), "sha256")
    return int.from_bytes(mark[:8], "big")


def _by_column(
    records: Records, split: ColumnSplit, site: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    def tokens(values: Sequence[Token]) -> list[str]:
        return [canonical_token(value) for value in values]

    train, test = tokens(split.train), tokens(split.test)
    both = sorted(set(train) & set(test))
    if both:
        raise StudyRefused(f"split: {', '.join(both)} is listed for training and for test")
    found = records.columns[split.column]
    chosen = np.isin(found, train), np.isin(found, test)
    for part, mask in zip(("training", "test"), chosen, strict=True):
        if len(records) and not mask.any():
            raise refused(
                site,
                "split-finds-nobody",
                f"column {split.column!r} marks no record for the {part} part",
                "amend the study's split",
            )
    return chosen


def _by_file(
    records: Records, split: FileSplit, index_file: bytes | None, site: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if not records.noted.has_order:
        raise refused(
            site,
            "rows-without-order",
            f"the index file {split.file!r} names rows by their place, and a query's rows have "
            "none",
            "write them to a file (Parquet or CSV) in the index's order, or ask for another split",
        )
    if index_file is None:
        raise StudyRefused(f"split: the index file {split.file!r} is missing beside the study")
    if split.sha256 is not None and digest(index_file) != split.sha256:
        raise StudyRefused(
            f"split: the index file {split.file!r} is not the one the study names: its sha256 "
            f"begins {digest(index_file)[:12]}, expected {split.sha256[:12]}"
        )
    parts = _parts_of(_read_index(index_file, split.file), site)
    unknown = sorted(set(parts) - set(records.rows.tolist()))
    if unknown:
        raise refused(
            site,
            "row-not-in-the-file",
            f"the index file {split.file!r} names row {unknown[0]}, which is not among the site's "
            f"{few(len(records), 'record')} (beyond the end, or dropped by the contract), "
            f"{counted(len(unknown), 'such row')}",
            "is it the file the split was made for?",
        )
    named = [parts.get(row) for row in records.rows.tolist()]
    return np.array([p == "train" for p in named]), np.array([p == "test" for p in named])


def _parts_of(index: Sequence[tuple[str, int, str]], site: str) -> dict[int, str]:
    parts = {row: part for name, row, part in index if name == site}
    if not parts:
        raise refused(
            site,
            "split-finds-nobody",
            "the index file of the split does not name this site",
            "ask for a split that does",
        )
    return parts


def _read_index(data: bytes, name: str) -> list[tuple[str, int, str]]:
    if len(data) > MAX_INDEX_BYTES:
        raise StudyRefused(f"split: {name}: larger than {MAX_INDEX_BYTES} bytes")
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyRefused(f"split: {name}: not CSV text: {type(error).__name__}") from error
    if not lines or lines[0] != ["site", "row", "part"]:
        raise StudyRefused(f"split: {name}:1: the header must be site,row,part")
    index: list[tuple[str, int, str]] = []
    seen: set[tuple[str, int]] = set()
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != 3 or not _ROW.fullmatch(cells[1]):
            raise StudyRefused(f"split: {name}:{number}: expected a site, a row from 0, a part")
        site, row, part = cells[0], int(cells[1]), cells[2]
        if part not in ("train", "test"):
            raise StudyRefused(f"split: {name}:{number}: the part must be train or test")
        if (site, row) in seen:
            raise StudyRefused(f"split: {name}:{number}: row {row} of {site} is named twice")
        seen.add((site, row))
        index.append((site, row, part))
    return index
