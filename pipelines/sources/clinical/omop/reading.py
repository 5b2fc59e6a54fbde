"""Reading OMOP: persons, how long they were observed, and the events that a study asks for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.sources.clinical.dates import When, read_when
from pipelines.sources.clinical.event_values import answered, measured
from pipelines.sources.clinical.omop.cdm import (
    ANCESTOR_COLUMNS,
    CONCEPT_ANCESTOR,
    DEATH,
    DEATH_COLUMNS,
    EVENT_TABLES,
    OBSERVATION_PERIOD,
    PERIOD_COLUMNS,
    PERSON,
    PERSON_COLUMNS,
    SEX_CONCEPTS,
    CdmTables,
    EventTable,
    Row,
    same_id,
)
from pipelines.sources.clinical.omop.needed_tables import lacking
from pipelines.sources.clinical.records import (
    ClinicalRecords,
    GrowingEvents,
    GrowingPersons,
    Studies,
)
from pipelines.sources.clinical.tally import DATE_THEM, Place, Reason, Tally, nobody, undated
from pipelines.sources.clinical.wanted import DEATHS, Ask, Value, Wanted
from pipelines.sources.faults import refusal

_ACCESSION = "accession_id"
_NO_CONCEPT = frozenset({"", "0"})


def read_omop(tables: CdmTables, wanted: Wanted, *, site: str) -> ClinicalRecords:
    """Returns what a study asks for of a hospital's tables.

    Raises:
        CohortRefused: a table or a column is missing, the version is another, or the tables cannot
            be read.
    """
    faults = list(lacking(tables, wanted))
    if faults:
        raise refusal(site, tables.name, faults)
    reading = _Reading(tables=tables)
    reading.read_persons()
    deaths, observed = reading.deaths(), reading.observed()
    events = reading.events(wanted.asks)
    return ClinicalRecords(
        persons=reading.persons.persons(),
        events={name: found.events() for name, found in {**events, DEATHS: deaths}.items()},
        observed=observed.events(),
        tally=reading.tally,
    )


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One reading of a hospital's tables."""

    tables: CdmTables
    persons: GrowingPersons = field(default_factory=GrowingPersons)
    tally: Tally = field(default_factory=Tally)

    def read_persons(self) -> None:
        """Reads all persons."""
        columns = self.tables.columns(PERSON) or frozenset()
        parts = [c for c in ("month_of_birth", "day_of_birth") if c in columns]
        file = self.tables.file(PERSON)
        for line, (key, sex, year, *rest) in self.tables.rows(PERSON, (*PERSON_COLUMNS, *parts)):
            if not key.strip():
                self.tally.refuse(_NO_KEY, at=_place(file, line))
                continue
            place = self.persons.add(key, SEX_CONCEPTS.get(same_id(sex), ""), _birth(year, *rest))
            if place is None:
                self.tally.refuse(_TWICE, at=_place(file, line))

    def deaths(self) -> GrowingEvents:
        """Returns the day of death of each who died; the first where several are told."""
        found: dict[int, When] = {}
        file = self.tables.file(DEATH)
        for line, (key, day) in self._rows_if(DEATH, DEATH_COLUMNS):
            person, when = self.persons.place(key), read_when(day)
            if person is None:
                self.tally.refuse(nobody(DEATH), at=_place(file, line))
            elif when is None:
                self.tally.leave_out(undated(DEATH, None), at=_place(file, line))
            else:
                found[person] = min(when, found.get(person, when))
        deaths = GrowingEvents()
        for person, when in found.items():
            deaths.add(person, when)
        return deaths

    def observed(self) -> GrowingEvents:
        """Returns the times in which each person was observed."""
        spans = GrowingEvents()
        file = self.tables.file(OBSERVATION_PERIOD)
        for line, (key, begin, end) in self._rows_if(OBSERVATION_PERIOD, PERIOD_COLUMNS):
            person, first, last = self.persons.place(key), read_when(begin), read_when(end)
            if person is None:
                self.tally.refuse(nobody(OBSERVATION_PERIOD), at=_place(file, line))
            elif first is None or last is None or last.last < first.first:
                what = "rows of observation_period do not tell a time that ends after it begins"
                self.tally.leave_out(Reason(what=what, remedy=DATE_THEM), at=_place(file, line))
            else:
                spans.add(person, When(first.first, last.last))
        return spans

    def _rows_if(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        found = self.tables.columns(table)
        if found is not None and set(columns) <= found:
            yield from self.tables.rows(table, columns)

    def events(self, asks: Sequence[Ask]) -> dict[str, GrowingEvents]:
        """Returns the events of each ask."""
        found = {ask.name: GrowingEvents() for ask in asks}
        concepts = self._concepts(asks)
        for what, table in EVENT_TABLES.items():
            of_table = [ask for ask in asks if ask.what == what]
            if of_table:
                self._read(table, of_table, concepts, found)
        return found

    def _concepts(self, asks: Sequence[Ask]) -> Mapping[str, frozenset[int]]:
        """Returns the concepts that each ask takes, with those below where it says so."""
        above = frozenset(
            concept for ask in asks if ask.coding.descendants for concept in ask.coding.concepts
        )
        below: dict[int, set[int]] = {}
        if above:
            rows = self.tables.rows(
                CONCEPT_ANCESTOR, ANCESTOR_COLUMNS, among=(ANCESTOR_COLUMNS[0], above)
            )
            for _, (ancestor, descendant) in rows:
                below.setdefault(int(same_id(ancestor)), set()).add(int(same_id(descendant)))
        return {
            ask.name: frozenset(ask.coding.concepts).union(
                *(below.get(concept, ()) for concept in ask.coding.concepts)
                if ask.coding.descendants
                else ()
            )
            for ask in asks
        }

    def _read(
        self,
        table: EventTable,
        asks: Sequence[Ask],
        concepts: Mapping[str, frozenset[int]],
        found: Mapping[str, GrowingEvents],
    ) -> None:
        """Reads one table's events."""
        asking: dict[str, list[Ask]] = {}
        for ask in asks:
            for concept in concepts[ask.name]:
                asking.setdefault(str(concept), []).append(ask)
        there = self.tables.columns(table.name) or frozenset()
        columns = ["person_id", table.concept, table.day]
        optional = (
            *(table.moment, table.last_day, table.number, table.answer, table.unit),
            *(table.study, _ACCESSION if table.study else None),
        )
        columns += [column for column in optional if column is not None and column in there]
        studies = Studies(tally=self.tally)
        wanted, file = frozenset(map(int, asking)), self.tables.file(table.name)
        for line, cells in self.tables.rows(table.name, columns, among=(table.concept, wanted)):
            row, at = dict(zip(columns, cells, strict=True)), _place(file, line)
            person = self.persons.place(row["person_id"])
            if person is None:
                self.tally.refuse(nobody(table.name), at=at)
                continue
            study = row.get(table.study or "", "").strip()
            if table.study is not None:
                studies.note_accession(person, study, row.get(_ACCESSION, "").strip(), at)
            for ask in asking[same_id(row[table.concept])]:
                if table.study is not None and not studies.is_new(ask.name, person, study, at):
                    continue
                when = _when(row, table, ask)
                if when is None:
                    self.tally.leave_out(undated(table.name, ask.name or None), at=at)
                    continue
                value = self._value(row, table, ask, at)
                if value is not None:
                    found[ask.name].add(person, when, *value)
        self._note_unmapped(table)

    def _note_unmapped(self, table: EventTable) -> None:
        _, unmapped = self.tables.unmapped(table.name, table.concept)
        self.tally.leave_out(
            Reason(
                what=f"rows of {table.name} have no concept ({table.concept} is 0)",
                remedy="the study cannot ask for them: map their source codes, if they are of "
                "what it asks for",
            ),
            unmapped,
        )

    def _value(
        self, row: Mapping[str, str], table: EventTable, ask: Ask, at: Place | None
    ) -> Value | None:
        """Returns an event's number or the place of its answer; None where it has none to take."""
        meant = ask.valued
        if meant is None:
            return Value(0.0)
        if meant.answers:
            concept = same_id(row.get(table.answer or "", ""))
            listed = (concept in map(str, answer.concepts) for answer in meant.answers.values())
            is_told = concept not in _NO_CONCEPT
            return answered(listed, ask, self.tally, table.name, at, is_told=is_told)
        number = _number(row.get(table.number or "", ""))
        unit = same_id(row.get(table.unit or "", "")) or "0"
        named = (n for n, concepts in meant.unit_concepts.items() if unit in map(str, concepts))
        return measured(
            number,
            unit,
            ask,
            self.tally,
            table.name,
            at,
            named=next(named, ""),
            is_told=unit != "0",
        )


def _place(file: str, line: int) -> Place | None:
    return Place(file, line) if file else None


def _birth(year: str, month: str = "", day: str = "") -> When | None:
    parts = [same_id(part) for part in (year, month, day)]
    known = parts[: next((i for i, part in enumerate(parts) if part in ("", "0")), 3)]
    return read_when("-".join(part.zfill(4 if i == 0 else 2) for i, part in enumerate(known)))


def _when(row: Mapping[str, str], table: EventTable, ask: Ask) -> When | None:
    if ask.at_end:
        return read_when(row[table.last_day or ""])
    moment = row.get(table.moment or "", "")
    day = read_when(row[table.day])
    exact = read_when(moment) if moment else None
    return exact if exact is not None and day is not None and exact[:2] == day[:2] else day


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_NO_KEY = Reason(
    what="rows of person have no person_id", remedy="give each its number, or take them out"
)
_TWICE = Reason(
    what="rows of person repeat a person_id",
    remedy="one person is one row: merge them, or export the table again",
)
