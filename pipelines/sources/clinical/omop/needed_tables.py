"""Tables and columns of the Common Data Model that a study needs, and those that are not there."""

from collections.abc import Iterator, Sequence

from pipelines.sources.clinical.omop.cdm import (
    ANCESTOR_COLUMNS,
    CDM_SOURCE,
    CONCEPT_ANCESTOR,
    DEATH,
    DEATH_COLUMNS,
    EVENT_TABLES,
    OBSERVATION_PERIOD,
    PERIOD_COLUMNS,
    PERSON,
    PERSON_COLUMNS,
    CdmTables,
)
from pipelines.sources.clinical.wanted import Wanted
from pipelines.sources.faults import RecordFault, faults_of
from protocol.errors import CohortRefused

_VERSIONS = ("5.3", "5.4")


def lacking(tables: CdmTables, wanted: Wanted) -> Iterator[RecordFault]:
    """Yields what a study needs and the tables do not have.

    Raises:
        CohortRefused: the tables cannot be read at all.
    """
    needed: dict[str, set[str]] = {PERSON: set(PERSON_COLUMNS)}
    if wanted.deaths:
        needed[DEATH] = set(DEATH_COLUMNS)
    if wanted.follow_up:
        needed[OBSERVATION_PERIOD] = set(PERIOD_COLUMNS)
    for ask in wanted.asks:
        table = EVENT_TABLES[ask.what]
        columns = table.columns(values=ask.valued is not None, last_day=ask.at_end)
        needed.setdefault(table.name, set()).update(columns)
        if not ask.coding.concepts:
            yield RecordFault(
                column=ask.name or None,
                what="the study names no concept of OMOP for it",
                remedy="ask for concepts: [...] beside its codes, or read FHIR",
            )
        if ask.coding.descendants:
            needed[CONCEPT_ANCESTOR] = set(ANCESTOR_COLUMNS)
    if_there: dict[str, set[str]] = {DEATH: set(), OBSERVATION_PERIOD: set()}
    for table_name, columns_needed in {**if_there, **needed}.items():
        try:
            found = tables.columns(table_name)
        except CohortRefused as error:
            yield from _several(error)
            continue
        if found is None and table_name in needed:
            yield RecordFault(
                name="missing-table",
                column=None,
                what=f"the table {table_name} is missing",
                remedy="export it too, or name the schema in which it lies",
            )
        elif found is not None and not columns_needed <= found:
            absent = ", ".join(sorted(columns_needed - found))
            yield RecordFault(
                name="missing-column",
                column=None,
                what=f"the table {table_name} has no column {absent}",
                remedy="it is part of the Common Data Model 5.4: export it, or mend its name",
            )
    yield from _other_version(tables)


def _several(error: CohortRefused) -> Sequence[RecordFault]:
    """Returns the faults of one table's file, beside which those of others are told."""
    faults = faults_of(error)
    if not faults or not all(fault.source for fault in faults):
        raise error
    return faults


def _other_version(tables: CdmTables) -> Iterator[RecordFault]:
    try:
        columns = tables.columns(CDM_SOURCE)
    except CohortRefused as error:
        yield from _several(error)
        return
    if columns is None or "cdm_version" not in columns:
        return
    for _, (version,) in tables.rows(CDM_SOURCE, ("cdm_version",)):
        told = version.strip().lower().removeprefix("cdm").strip().lstrip("v")
        if told and not told.startswith(_VERSIONS):
            yield RecordFault(
                column=None,
                what="the tables are of another version of the Common Data Model, by cdm_source",
                remedy="5.4 is read, and 5.3, which is alike in all that is read here: convert "
                "them, or mend cdm_source.cdm_version",
            )
