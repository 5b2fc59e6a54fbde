"""Whether the records of a study's sites fit it, and what its evaluation would release of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from collegium.simulation.records import simulated_parts, site_readers
from collegium.simulation.settings import (
    SimulationSettings,
)
from collegium.studies.forecast import (
    small_groups_text,
)
from collegium.studies.planning.settings import assumed_auroc
from collegium.studies.preflight.description import describe_evaluation
from pipelines.cohort.inspection.columns import column_remarks
from pipelines.cohort.plausibility import (
    far_fewer_than_declared,
    nobody_returns,
    remarks,
    some_patient_returns,
)
from pipelines.cohort.quality import DataQuality, quality_of
from pipelines.evaluation.groups import groups_of_patients
from pipelines.records import Records
from pipelines.sources.faults import MAX_TOLD, RecordFault
from pipelines.sources.tables.table import SourceTable
from protocol.errors import CohortRefused
from protocol.study.cohort.cohort import TableCohort
from protocol.study.study import BUNDLED, Study
from protocol.study.study_file import index_beside
from silos.preflight.quality_table import print_quality


def finds_records(study: Study, data: Path | None) -> bool:
    """Whether the records can be read: a folder is given, or they come with scikit-learn."""
    named = [study.partition.records] if study.partition else [site.records for site in study.sites]
    return data is not None or all(name == BUNDLED for name in named)


def check_records(
    study: Study, folder: Path, data: Path | None, console: Console
) -> dict[str, Any]:
    """Shows what every site's records are, checked against the contract as the hospitals would.

    Raises:
        CohortRefused: what does not fit, a line for each fault of each site; of many the first,
            and how many more.
    """
    SimulationSettings(data=data).require_sources(study)
    index = index_beside(study, folder)
    quality: dict[str, DataQuality] = {}
    known: dict[str, Records] = {}
    grouped = [np.zeros(len(one.groups), int) for one in study.evaluation.groups.values()]
    said: dict[str, list[RecordFault]] = {}
    of_columns: dict[str, list[RecordFault]] = {}
    refused: list[str] = []

    def inspect(site: str, table: SourceTable) -> None:
        if isinstance(study.cohort, TableCohort):
            of_columns[site] = [*column_remarks(table, study.cohort)]

    for site, read in site_readers(study, data, inspect).items():
        try:
            records = read()
            train, test = simulated_parts(study, site, records, index)
        except CohortRefused as error:
            refused.append(str(error))
            continue
        known[site] = records
        for sizes, places in zip(grouped, _groups_at(study, site, test), strict=False):
            sizes += np.bincount(places[places >= 0], minlength=len(sizes))
        quality[site] = quality_of(records, train, test, study.cohort)
        said[site] = [*remarks(records, study.cohort)]
        if study.has_model:
            fewer = far_fewer_than_declared(train, study.site(site).patients)
            said[site] += [] if fewer is None else [fewer]
        said[site] += of_columns.get(site, [])
    if refused:
        raise _refused_together(refused)
    _say_who_returns(known, study, said)
    print_quality(
        quality, console, partitioned=study.partition.records if study.partition is not None else ""
    )
    common = [] if study.partition is None else of_columns.get("all", [])
    shared = {} if study.partition is None else {study.partition.records: common}
    for site, found in (said | shared).items():
        _caution([f"{site}: {remark}" for remark in found], console)
    tested = {
        site: (report.test.patients, report.test.patients_ill or 0)
        for site, report in quality.items()
    }
    evaluation = describe_evaluation(study, assumed_auroc(study), console, tested)
    small = small_groups_text(study, [sizes.tolist() for sizes in grouped])
    _caution(small, console)
    return {
        "evaluation": evaluation,
        "groups": small,
        "remarks": [f"{remark.name}: {remark.found}" for remark in common],
        "sites": {
            site: report.to_json()
            | {"remarks": [f"{remark.name}: {remark.found}" for remark in said[site]]}
            for site, report in quality.items()
        },
    }


def _refused_together(reasons: Sequence[str]) -> CohortRefused:
    """Returns the refusal of all sites: the first faults, and how many more."""
    told = [line for reason in reasons for line in reason.splitlines()]
    more = len(told) - MAX_TOLD
    rest = [f"and {more} more fault{'s' * (more > 1)}"] if more > 0 else []
    return CohortRefused("\n".join([*told[:MAX_TOLD], *rest]))


def _caution(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(f"  {line}", style="yellow", markup=False, soft_wrap=True)


def _groups_at(study: Study, site: str, test: Records) -> NDArray[np.int64]:
    """Returns the (groupings, patients) places of a site's test patients' groups."""
    return groups_of_patients(test, study.groupings_of(site)).T


def _say_who_returns(
    known: Mapping[str, Records], study: Study, said: Mapping[str, list[RecordFault]]
) -> None:
    """Adds that no patient of a site returns, where patients of other sites do."""
    if not any(map(some_patient_returns, known.values())):
        return
    for site, records in known.items():
        alone = nobody_returns(records, study.cohort)
        if alone is not None:
            said[site].append(alone)
