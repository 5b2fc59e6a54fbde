"""Reading FHIR: patients, and of their resources the events that a study asks for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pipelines.sources.clinical.dates import When, read_when
from pipelines.sources.clinical.event_values import answered, measured
from pipelines.sources.clinical.fhir.ndjson import Resource, ResourceFolder
from pipelines.sources.clinical.fhir.resources import (
    ResourceType,
    answers,
    codes_in,
    counts,
    identifier_of,
    observed,
    patient_of,
    quantity,
    study_of,
    type_of,
    when,
)
from pipelines.sources.clinical.records import (
    ClinicalRecords,
    GrowingEvents,
    GrowingPersons,
    Studies,
)
from pipelines.sources.clinical.tally import Place, Reason, Tally, nobody, undated
from pipelines.sources.clinical.wanted import DEATHS, Ask, Value, Wanted
from pipelines.sources.faults import RecordFault, refusal
from protocol.study.cohort.clinical import SEXES

#: Long before every record.
_EARLIEST = 1


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """Facts about an export that its hospital knows and no resource tells.

    Attributes:
        complete_until: the last day whose records are all in it; None where it is not said.
        identifier: the system of the identifier that is the hospital's own number of a patient;
            None where a Patient's id is.
        zone: of the hospital's clock; None where times stand in it as they are written.
    """

    complete_until: int | None = None
    identifier: str | None = None
    zone: ZoneInfo | None = None


def read_fhir(
    folder: ResourceFolder, wanted: Wanted, facts: ExportFacts, *, site: str
) -> ClinicalRecords:
    """Returns what a study asks for of a hospital's resources.

    Raises:
        CohortRefused: there are no resources of a type that the study asks for, or a file cannot be
            read.
    """
    faults = _lacking(folder, wanted, facts)
    if faults:
        raise refusal(site, folder.name, faults)
    reading = _Reading(folder=folder, facts=facts)
    reading.read_patients()
    events = reading.events(wanted.asks)
    return ClinicalRecords(
        persons=reading.persons.persons(),
        events={n: found.events() for n, found in {**events, DEATHS: reading.deaths}.items()},
        observed=reading.observed_times().events(),
        tally=reading.tally,
    )


def _lacking(folder: ResourceFolder, wanted: Wanted, facts: ExportFacts) -> list[RecordFault]:
    types = folder.types()
    needed = ["Patient", *(type_of(ask.what).name for ask in wanted.asks)]
    faults = [
        RecordFault(
            name="missing-table",
            column=None,
            what=f"there is no file of {name} resources",
            remedy="export that type too; where the hospital has none, an empty file "
            f"{name}.ndjson says so",
        )
        for name in dict.fromkeys(needed)
        if name not in types
    ]
    faults += [
        RecordFault(
            column=ask.name or None,
            what="the study names no code of FHIR for it",
            remedy='ask for codes: ["SYSTEM|CODE"] beside its concepts, or read OMOP',
        )
        for ask in wanted.asks
        if not ask.coding.codes
    ]
    if wanted.follow_up and facts.complete_until is None:
        faults.append(
            RecordFault(
                column=None,
                what="no resource tells how long patients were observed, and the label needs it",
                remedy="write complete_until: 'YYYY-MM-DD' under data in the site file, the day to "
                "which the export is complete (its transactionTime)",
            )
        )
    return faults


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """One reading of a hospital's resources."""

    folder: ResourceFolder
    facts: ExportFacts
    persons: GrowingPersons = field(default_factory=GrowingPersons)
    places: dict[str, int] = field(default_factory=dict)
    deaths: GrowingEvents = field(default_factory=GrowingEvents)
    tally: Tally = field(default_factory=Tally)

    def read_patients(self) -> None:
        """Reads all Patients."""
        system = self.facts.identifier
        for at, resource in self.folder.resources("Patient"):
            own = str(resource.get("id") or "")
            key = own if system is None else identifier_of(resource, system)
            if not own or not key.strip():
                self.tally.refuse(_NO_ID if system is None else _NO_IDENTIFIER, at=at)
                continue
            sex, birth = str(resource.get("gender")), resource.get("birthDate")
            born = read_when(birth) if isinstance(birth, str) else None
            place = self.persons.add(key, sex if sex in SEXES else "", born)
            if place is None or own in self.places:
                self.tally.refuse(_SAME_ID if system is None else _SAME_IDENTIFIER, at=at)
                continue
            self.places[own] = place
            self._read_death(resource, place, at)

    def _read_death(self, resource: Resource, person: int, at: Place) -> None:
        told = resource.get("deceasedDateTime")
        day = read_when(told, self.facts.zone) if isinstance(told, str) else None
        if day is not None:
            self.deaths.add(person, day)
        elif told is not None or resource.get("deceasedBoolean") is True:
            self.tally.leave_out(_UNDATED_DEATH, at=at)

    def observed_times(self) -> GrowingEvents:
        """Returns the time in which each patient was observed: to the end of the export."""
        spans = GrowingEvents()
        if self.facts.complete_until is not None:
            for person in range(len(self.persons)):
                spans.add(person, When(_EARLIEST, self.facts.complete_until))
        return spans

    def events(self, asks: Sequence[Ask]) -> dict[str, GrowingEvents]:
        """Returns the events of each ask."""
        found = {ask.name: GrowingEvents() for ask in asks}
        for name in dict.fromkeys(type_of(ask.what).name for ask in asks):
            self._read([ask for ask in asks if type_of(ask.what).name == name], found)
        return found

    def _read(self, asks: Sequence[Ask], found: Mapping[str, GrowingEvents]) -> None:
        """Reads one type's resources."""
        kind = type_of(asks[0].what)
        asking: dict[tuple[str, str], list[Ask]] = {}
        for ask in asks:
            for code in ask.coding.codes:
                system, _, own = code.rpartition("|")
                asking.setdefault((system, own), []).append(ask)
        met: set[str] = set()
        studies = Studies(tally=self.tally)
        read = 0
        for at, resource in self.folder.resources(kind.name):
            read += 1
            for part in observed(resource):
                codes = [code for element in kind.codes for code in codes_in(part.get(element))]
                met.update(system for system, _ in codes)
                meant = {id(a): a for code in codes for a in asking.get(code, ())}
                if meant and self._counts(resource, kind, at):
                    self._add(at, resource, part, kind, tuple(meant.values()), found, studies)
        for ask in asks:
            systems = {code.rpartition("|")[0] for code in ask.coding.codes}
            if read and not systems & met:
                self.tally.refuse(_no_system(ask, systems, kind), read)

    def _counts(self, resource: Resource, kind: ResourceType, at: Place) -> bool:
        if counts(resource, kind):
            return True
        self.tally.leave_out(
            Reason(
                what=f"{kind.name} resources that the study asks for do not count by their "
                f"{kind.status}",
                remedy="nothing is wrong with an entry in error, a plan, or what is not final yet; "
                f"else mend their {kind.status}",
            ),
            at=at,
        )
        return False

    def _add(
        self,
        at: Place,
        resource: Resource,
        part: Resource,
        kind: ResourceType,
        asks: Sequence[Ask],
        found: Mapping[str, GrowingEvents],
        studies: Studies,
    ) -> None:
        """Adds what a resource, or a component of it, tells to those who ask for it."""
        person = self.places.get(patient_of(resource))
        if person is None:
            self.tally.refuse(nobody(kind.name), at=at)
            return
        study, accession = study_of(resource) if asks[0].what == "imaging" else ("", "")
        if study:
            studies.note_accession(person, study, accession, at)
        for ask in asks:
            if study and not studies.is_new(ask.name, person, study, at):
                continue
            told = when(resource, kind, self.facts.zone, at_end=ask.at_end)
            if told is None:
                self.tally.leave_out(undated(kind.name, ask.name or None), at=at)
                continue
            value = self._value(part, kind, ask, at)
            if value is not None:
                found[ask.name].add(person, told, *value)

    def _value(self, part: Resource, kind: ResourceType, ask: Ask, at: Place) -> Value | None:
        """Returns a number or the place of an answer; None where there is none to take."""
        meant = ask.valued
        if meant is None:
            return Value(0.0)
        if meant.answers:
            given = answers(part)
            listed = (bool(given & set(answer.codes)) for answer in meant.answers.values())
            return answered(listed, ask, self.tally, kind.name, at, is_told=bool(given))
        found = quantity(part)
        number, unit = (None, "") if found is None else (found.number, found.unit)
        named = unit or next((n for n, c in meant.unit_concepts.items() if 0 in c), "")
        return measured(
            number, unit, ask, self.tally, kind.name, at, named=named, is_told=bool(unit)
        )


def _no_system(ask: Ask, systems: Collection[str], kind: ResourceType) -> Reason:
    return Reason(
        column=ask.name or None,
        what=f"{kind.name} resources, and none has a code of {' or '.join(sorted(systems))}, by "
        "which the study asks",
        remedy="export them with that coding, or ask for the codes that the hospital has",
    )


_NO_ID = Reason(what="Patient resources have no id", remedy="export them again")
_NO_IDENTIFIER = Reason(
    what="Patient resources have no identifier of the system in the site file",
    remedy="give each its number, or mend identifier under data in the site file",
)
_SAME_ID = Reason(
    what="Patient resources repeat an id",
    remedy="one patient is one resource: leave out older versions, or export once",
)
_SAME_IDENTIFIER = Reason(
    what="Patient resources repeat another's identifier",
    remedy="one person is one Patient: merge them in the source (Patient.link), or take one out",
)
_UNDATED_DEATH = Reason(
    what="patients have died on a day that is not told",
    remedy="fill deceasedDateTime; they count as observed to the end of the export",
)
