"""A hospital's training and test records for one study, split and checked in one way.

Every reader of records (the hospital that joins, its preflight, a simulation)
calls this, so that none can see another split or unit than the run.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.loading import check_cohort
from pipelines.cohort.splits import split
from pipelines.records import Records
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study


def parts_of(
    records: Records,
    study: Study,
    *,
    key: bytes,
    site: str,
    index_file: bytes | None,
    left_out: NDArray[np.int64] | None = None,
) -> tuple[Records, Records]:
    """Returns the training and the test records.

    Args:
        records: all of the hospital's, encoded by the study's contract.
        study: its split, its unit of protection and the site's declared patients count here.
        key: the hospital's secret key, which a split by hash follows.
        site: whose records these are, for messages.
        index_file: the bytes of the split's index file, where it names one.
        left_out: rows that are in neither part, whatever the split says of them.

    Guarantee: no patient is in both. Where the study protects records, each
    counts as a patient of its own. A study that counts columns counts everybody: all are in
    the second.

    Raises:
        CohortRefused: the records do not fit, or cannot be protected; see ``check_cohort``.
        StudyRefused: the split cannot be done.
    """
    privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
    if study.has_model:
        train, test = split(records, study.split, key=key, site=site, index_file=index_file)
    else:
        train, test = records.take(np.zeros(len(records), dtype=np.bool_)), records
    if left_out is not None and len(left_out):
        train, test = (part.take(~np.isin(part.rows, left_out)) for part in (train, test))
    if privacy is not None and privacy.unit == "record":
        train, test = train.apart(), test.apart()
    declared = study.site(site).patients
    check_cohort(
        train,
        test,
        study.cohort,
        site=site,
        declared=declared,
        trains=study.trains,
        counts_all=not study.has_model,
    )
    return train, test
