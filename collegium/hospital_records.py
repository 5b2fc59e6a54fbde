"""The hospitals' records as a simulation reads them outside of the hospitals.

For what only a simulation may do: attack a study's trainer, or train a
reference with all records in one place.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from collegium.consortium import simulated_split_key
from pipelines.cohort import Records, check_cohort, columns_to_keep, load_cohort
from pipelines.dealing import deal
from pipelines.splits import split
from protocol.study import BUNDLED, PatientPrivacy, Study


def read_hospitals(
    study: Study, index: bytes | None, data: Path | None
) -> dict[str, tuple[Records, Records]]:
    """Returns every site's training and test records, checked as the hospitals would.

    Raises:
        CohortRefused: the records do not fit the contract.
    """
    keep = columns_to_keep(study.split, study.deal)

    def load(named: str, site: str) -> Records:
        source = named if named == BUNDLED or data is None else data / named
        return load_cohort(study.cohort, source, site=site, keep=keep)

    if study.deal is not None:
        dealt = deal(load(study.deal.records, "all"), study.deal, study.sites)
    else:
        dealt = {site.name: load(site.records or "", site.name) for site in study.sites}
    privacy = study.privacy if isinstance(study.privacy, PatientPrivacy) else None
    hospitals = {}
    for site, records in dealt.items():
        key = simulated_split_key(study, site)
        train, test = split(records, study.split, key=key, site=site, index_file=index)
        if privacy is not None and privacy.unit == "record":
            train, test = train.apart(), test.apart()
        delta = privacy.delta if privacy is not None else None
        check_cohort(train, test, study.cohort, site=site, delta=delta)
        hospitals[site] = (train, test)
    return hospitals


def joined(parts: Iterable[Records]) -> Records:
    """Returns the records of several hospitals as one; no patient of one is one of another's."""
    known = [part for part in parts if len(part)]
    before = np.cumsum([0, *(part.num_patients for part in known)])
    return Records(
        features=np.concatenate([part.features for part in known]),
        labels=np.concatenate([part.labels for part in known]),
        patients=np.concatenate(
            [part.patients + first for part, first in zip(known, before, strict=False)]
        ),
        patient_keys=tuple(
            f"{place}/{key}" for place, part in enumerate(known) for key in part.patient_keys
        ),
        rows=np.concatenate([part.rows for part in known]),
    )
