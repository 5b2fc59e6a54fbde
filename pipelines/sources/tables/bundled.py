"""The records that come with the software: scikit-learn's Breast Cancer Wisconsin."""

from collections.abc import Sequence

import numpy as np

from pipelines.sources.cells import Cells
from pipelines.sources.tables.table import SourceTable, needed_columns, places_of
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort


def read_bundled(cohort: TableCohort, *, site: str, keep: Sequence[str]) -> SourceTable:
    """Returns scikit-learn's Breast Cancer Wisconsin as a table: 569 patients, one row each.

    Columns are scikit-learn's thirty names and ``diagnosis`` (malignant or benign).

    Raises:
        CohortRefused: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_breast_cancer  # a second of import: only where needed
    except ModuleNotFoundError as error:
        raise CohortRefused(
            "the bundled records come with scikit-learn, not installed here: "
            "pip install 'collegium[silo]'"
        ) from error

    bunch = load_breast_cancer()
    names = [*(str(name) for name in bunch.feature_names), "diagnosis"]
    columns = [[repr(float(value)) for value in column] for column in bunch.data.T]
    columns.append([str(bunch.target_names[target]) for target in bunch.target])
    places, faults = places_of(names, needed_columns(cohort, keep))
    count = len(bunch.target)
    return SourceTable(
        site=site,
        file="the bundled records",
        cells={name: Cells.of(columns[place]) for name, place in places.items()},
        lines=np.arange(2, count + 2),
        rows=np.arange(count),
        repeated=np.array([], dtype=np.int64),
        faults=faults,
    )
