"""The hospitals' records as a simulation reads them outside of the hospitals.

For what only a simulation may do: attack a study's trainer, or train a
reference with all records in one place.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from collegium.simulation.settings import simulated_split_key
from pipelines.cohort.loading import Records, columns_to_keep, load_cohort
from pipelines.cohort.partitioning import partition_records
from pipelines.cohort.plausibility import require_plausible
from pipelines.cohort.train_test import parts_of
from pipelines.records import Rows
from pipelines.sources.images.stored_rows import StoredRows
from pipelines.sources.tables.table import SourceTable
from protocol.study.study import BUNDLED, Study
from protocol.study.task.evaluation import Grouping


def read_hospitals(
    study: Study, index: bytes | None, data: Path | None
) -> dict[str, tuple[Records, Records]]:
    """Returns every site's training and test records, checked as the hospitals would.

    Raises:
        CohortRefused: the records do not fit the contract.
    """
    return {
        site: simulated_parts(study, site, records, index)
        for site, records in partitioned_records(study, data).items()
    }


def simulated_parts(
    study: Study, site: str, records: Records, index: bytes | None
) -> tuple[Records, Records]:
    """Returns one simulated hospital's training and test records.

    Raises:
        CohortRefused: the records do not fit the contract, or most of them cannot be right.
    """
    key = simulated_split_key(study, site)
    parts = parts_of(records, study, key=key, site=site, index_file=index)
    require_plausible(*parts, cohort=study.cohort, site=site)
    return parts


def partitioned_records(study: Study, data: Path | None) -> dict[str, Records]:
    """Returns every site's records, read from its own file or partitioned from a common one.

    Raises:
        CohortRefused: the records do not fit the contract.
    """
    return {site: read() for site, read in site_readers(study, data).items()}


def site_readers(
    study: Study,
    data: Path | None,
    inspect: Callable[[str, SourceTable], None] = lambda site, table: None,
) -> dict[str, Callable[[], Records]]:
    """Returns for every site what reads its records, so that one's faults do not hide another's.

    Args:
        study: names the records.
        data: the folder in which they lie.
        inspect: is given each site's own table before its cells are refused; a common file, to be
            partitioned, is the table of ``all``.

    Raises:
        CohortRefused: a common file, to be partitioned, does not fit the contract. A reader
            raises the same of a site's own file.
    """
    keep = columns_to_keep(study)

    def load(named: str, site: str, groupings: Collection[Grouping]) -> Records:
        source = named if named == BUNDLED or data is None else data / named
        return load_cohort(
            study.cohort,
            source,
            site=site,
            keep=keep,
            groupings=groupings,
            inspect=partial(inspect, site),
        )

    if study.partition is not None:
        hands = partition_records(
            load(study.partition.records, "all", [*study.evaluation.groups.values()]),
            study.partition,
            study.sites,
        )
        return {site: partial(hands.__getitem__, site) for site in hands}
    return {
        site.name: partial(load, site.records or "", site.name, study.groupings_of(site.name))
        for site in study.sites
    }


def joined(parts: Iterable[Records]) -> Records:
    """Returns the records of several hospitals as one; no patient of one is one of another's."""
    known = [part for part in parts if len(part)]
    before = np.cumsum([0, *(part.num_patients for part in known)])
    return Records(
        features=_joined_rows([part.features for part in known]),
        labels=_joined_rows([part.labels for part in known]),
        patients=np.concatenate(
            [part.patients + first for part, first in zip(known, before, strict=False)]
        ),
        patient_keys=tuple(
            f"{place}/{key}" for place, part in enumerate(known) for key in part.patient_keys
        ),
        rows=np.concatenate([part.rows for part in known]),
    )


def _joined_rows(parts: Sequence[Rows]) -> Rows:
    """Returns all rows one after the other; those that are stored stay where they are."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    return StoredRows.of(parts)
