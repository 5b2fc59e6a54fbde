"""Partitioning: a simulation's rule that turns one set of records into several hospitals.

Rules:

1. Every record goes to exactly one site, and the rule is a function of the
   study and the records alone.
2. By label skew a patient's records stay together. By column they go where
   they are written: a patient treated in two hospitals is a patient of both.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.errors import CohortRefused
from protocol.study.cohort.vocabulary import canonical_token
from protocol.study.study import PartitionByColumn, PartitionBySkew, Partitioning, Site


def partition_records(
    records: Records, partition: Partitioning, sites: Sequence[Site]
) -> dict[str, Records]:
    """Returns each site's records, in the order of the source.

    Args:
        records: all records, with the column that the rule looks at.
        partition: the study's rule.
        sites: the study's sites, in the study's order.

    Raises:
        CohortRefused: a record belongs to no site, or a site gets no records.
    """
    rule = partition.how
    if isinstance(rule, PartitionByColumn):
        owners = _by_column(records, rule, sites)
    else:
        owners = _by_label_skew(records, rule, len(sites))
    hands = {site.name: records.take(owners == place) for place, site in enumerate(sites)}
    empty = [name for name, hand in hands.items() if not len(hand)]
    if empty:
        remedy = "amend shares, concentration or seed"
        if isinstance(rule, PartitionByColumn):
            blank = any(site.name == empty[0] and site.value == "" for site in sites)
            remedy = _BLANK if blank else "amend its value"
        raise CohortRefused(f"site {empty[0]}: the study's partition gives it no records; {remedy}")
    return hands


_BLANK = (
    "a blank cell is missing (cohort.missing), and its record is dropped before the partition: "
    "write a word there, and that word as the site's value"
)


def _by_column(
    records: Records, rule: PartitionByColumn, sites: Sequence[Site]
) -> NDArray[np.int64]:
    wanted = [canonical_token(site.name if site.value is None else site.value) for site in sites]
    if len(set(wanted)) < len(wanted):
        raise CohortRefused(
            f"column {rule.column!r}: two sites have the same value; give each its own"
        )
    found = records.columns[rule.column]
    owners = np.full(len(records), -1, dtype=np.int64)
    for place, token in enumerate(wanted):
        owners[found == token] = place
    homeless = int((owners < 0).sum())
    if homeless and rule.others == "refuse":
        raise CohortRefused(
            f"column {rule.column!r}: {homeless} records belong to none of the {len(sites)} sites; "
            "add a site with that value, take the records out, or write `others: leave_out`"
        )
    return owners


def _by_label_skew(records: Records, rule: PartitionBySkew, num_sites: int) -> NDArray[np.int64]:
    """Deals whole patients: for each class shares ~ Dirichlet(concentration x shares).

    Patients are drawn in the order in which they first stand in the file.
    Source: Hsu, Qi, Brown 2019, arXiv 1909.06335, section 3 (with unequal shares).
    """
    if num_sites != len(rule.shares):
        raise ValueError(f"{len(rule.shares)} shares for {num_sites} sites")
    random = np.random.Generator(np.random.PCG64(rule.seed))
    shares = np.array(rule.shares) / sum(rule.shares)
    first_row = np.full(records.num_patients, np.iinfo(np.int64).max)
    np.minimum.at(first_row, records.patients, records.rows)
    in_file = np.argsort(first_row, kind="stable")
    diseased = np.zeros(records.num_patients, dtype=bool)
    positive = records.with_label(lambda labels: labels > 0)
    diseased[records.patients[positive]] = True
    owners = np.zeros(records.num_patients, dtype=np.int64)
    for disease in (False, True):
        members = random.permutation(in_file[diseased[in_file] == disease])
        drawn = random.dirichlet(rule.concentration * shares)
        ends = np.rint(np.cumsum(drawn) * len(members)).astype(np.int64)
        owners[members] = np.searchsorted(ends[:-1], np.arange(len(members)), side="right")
    return owners[records.patients]
