"""A hospital's own records for a study, read and split as a run reads and splits them."""

from pathlib import Path
from typing import NamedTuple

from pipelines.cohort.loading import columns_to_keep, load_cohort
from pipelines.cohort.train_test import parts_of
from pipelines.records import Records
from protocol.study.study import Study
from silos.config.site_file import SiteFile, source_of


class OwnRecords(NamedTuple):
    """All of them, and the two parts."""

    whole: Records
    train: Records
    test: Records


def read_own_records(
    home: Path, site: SiteFile, study: Study, index: bytes | None, split_key: bytes
) -> OwnRecords:
    """Returns a hospital's records.

    Raises:
        CohortRefused, StudyRefused, SiteFileRefused: they cannot be read, or do not fit.
    """
    keep = columns_to_keep(study.split, study.partition)
    whole = load_cohort(study.cohort, source_of(site, home), site=site.name, keep=keep)
    parts = parts_of(whole, study, key=split_key, site=site.name, index_file=index)
    return OwnRecords(whole, *parts)
