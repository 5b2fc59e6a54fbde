"""Draws the patients of three hospitals and writes each as a CSV, as OMOP tables and as FHIR.

Usage:  python examples/readmission/make_patients.py TO_FOLDER

Patients are synthetic and nobody's: a first stay in hospital, what was recorded before and after,
and for some another stay within 30 days, the likelier the older they are, the higher their blood
pressure, and with diabetes. Of hospital ``east`` it writes ``east.csv``, the folder ``east-omop``
(tables of the Common Data Model 5.4) and the folder ``east-fhir`` (FHIR R4, NDJSON). The CSV's
rows are computed in plain Python, one patient at a time: what tables and resources must come to.
Seeds are fixed: every call draws the same.
"""

import csv
import json
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

#: Hospitals and their patients, with a stay or without.
HOSPITALS = {"east": 700, "north": 600, "south": 500}
#: The last day of every patient's observation that lives.
UNTIL = date(2024, 12, 31)
_ANSWERS = {
    "never": ("45879404", "LA18978-9"),
    "former": ("45883458", "LA15920-4"),
    "current": ("45884038", "LA18976-3"),
}
_DIABETES = {"type 2": ("201826", "44054006"), "any": ("201820", "73211009")}


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient, with what was recorded."""

    key: str
    sex: str
    born: date
    died: date | None
    stays: Sequence[tuple[date, date]]
    visits: Sequence[date]
    pressures: Sequence[tuple[datetime, float]]
    smoking: Sequence[tuple[date, str]]
    diabetes: Sequence[tuple[date, str]]
    drugs: Sequence[date]


def patients(count: int, seed: int = 7) -> list[Patient]:
    """Returns so many patients, their keys in no order: six digits that begin with 9."""
    rng = random.Random(seed)  # noqa: S311 - they are nobody's
    keys = rng.sample(range(900_000, 1_000_000), count)
    return [_patient(str(key), rng) for key in keys]


def _patient(key: str, rng: random.Random) -> Patient:
    born = date(rng.randint(1930, 2000), rng.randint(1, 12), rng.randint(1, 28))
    first = date(2020, 1, 1) + timedelta(days=rng.randint(0, 1700))
    is_diabetic, pressure = rng.random() < 0.3, rng.gauss(135, 18)

    def day() -> date:
        return first + timedelta(days=rng.randint(-900, 60))

    def moment() -> datetime:
        midnight = datetime.combine(day(), datetime.min.time())
        return midnight + timedelta(minutes=rng.randint(0, 1439))

    logit = (2020 - born.year - 55) / 12 + (pressure - 135) / 18 + 1.5 * is_diabetic - 2.5
    comes_back = rng.random() < 1 / (1 + math.exp(-logit))
    gaps = [rng.randint(2, 30) if comes_back else rng.randint(40, 300)]
    stays = [(first, first + timedelta(days=rng.randint(0, 12)))]
    for gap in gaps[: 1 if comes_back else rng.randint(0, 1)]:
        begin = stays[-1][1] + timedelta(days=gap)
        stays.append((begin, begin + timedelta(days=rng.randint(0, 12))))
    stays = [stay for stay in stays if stay[1] <= UNTIL] if rng.random() < 0.9 else []
    ends = stays[-1][1] + timedelta(days=rng.randint(3, 90)) if stays else UNTIL
    measured = range(rng.randint(0, 6))
    return Patient(
        key=key,
        sex=rng.choice(["female", "male"]),
        born=born,
        died=ends if ends < UNTIL and rng.random() < 0.2 else None,
        stays=stays,
        visits=[day() for _ in range(rng.randint(0, 3))],
        pressures=[(moment(), float(round(rng.gauss(pressure, 8)))) for _ in measured],
        smoking=[(day(), rng.choice(list(_ANSWERS))) for _ in range(rng.randint(0, 2))],
        diabetes=[(day(), rng.choice(list(_DIABETES)))] if is_diabetic else [],
        drugs=[day() for _ in range(rng.randint(0, 5))],
    )


def alive(patient: Patient, day: date) -> bool:
    """Whether a patient's records on a day are neither before birth nor after death."""
    return patient.born <= day and (patient.died is None or day <= patient.died)


def row_of(patient: Patient) -> dict[str, str] | None:
    """Returns the table's row of a patient, None for one without a stay."""
    if not patient.stays:
        return None
    zero = min(end for _, end in patient.stays)

    def before(day: date, least: int | None = None) -> bool:
        return alive(patient, day) and (least or -(10**6)) <= (day - zero).days <= 0

    measured = sorted((at, value) for at, value in patient.pressures if before(at.date()))
    recent = [value for at, value in measured if before(at.date(), -365)]
    smoking = sorted(
        (day, list(_ANSWERS).index(word)) for day, word in patient.smoking if before(day)
    )
    again = any(1 <= (begin - zero).days <= 30 for begin, _ in patient.stays)
    observed = (patient.died or UNTIL) >= zero + timedelta(days=30)
    years = zero.year - patient.born.year
    years -= (zero.month, zero.day) < (patient.born.month, patient.born.day)
    return {
        "person": patient.key,
        "age": str(years),
        "sex": patient.sex,
        "sbp": str(recent[-1]) if recent else "",
        "mean_sbp": str(sum(v for _, v in measured) / len(measured)) if measured else "",
        "smoker": list(_ANSWERS)[smoking[-1][1]] if smoking else "",
        "diabetes": "yes" if any(before(day) for day, _ in patient.diabetes) else "no",
        "drugs": str(sum(before(day, -180) for day in patient.drugs)),
        "readmitted": "yes" if again else "no" if observed else "",
    }


def write_csv(path: Path, found: Sequence[Patient]) -> None:
    """Writes the table, its rows in the order of the patients' numbers."""
    ordered = sorted(found, key=lambda patient: int(patient.key))
    rows = [row for row in map(row_of, ordered) if row is not None]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


Tables = dict[str, list[dict[str, str]]]


def omop_tables(found: Sequence[Patient]) -> Tables:
    """Returns the patients as tables of the Common Data Model 5.4, each a list of its rows."""
    tables: Tables = {
        "cdm_source": [{"cdm_source_name": "synthetic", "cdm_version": "v5.4.0"}],
        "concept_ancestor": [
            {"ancestor_concept_id": "201820", "descendant_concept_id": each}
            for each in ("201820", "201826")
        ],
        "person": [
            {
                "person_id": p.key,
                "gender_concept_id": {"male": "8507", "female": "8532"}[p.sex],
                "year_of_birth": str(p.born.year),
                "month_of_birth": str(p.born.month),
                "day_of_birth": str(p.born.day),
            }
            for p in found
        ],
        "death": [{"person_id": p.key, "death_date": p.died.isoformat()} for p in found if p.died],
        "observation_period": [
            {
                "person_id": p.key,
                "observation_period_start_date": "2015-01-01",
                "observation_period_end_date": (p.died or UNTIL).isoformat(),
            }
            for p in found
        ],
    }
    tables["visit_occurrence"] = [
        {
            "person_id": p.key,
            "visit_concept_id": concept,
            "visit_start_date": begin.isoformat(),
            "visit_start_datetime": "",
            "visit_end_date": end.isoformat(),
        }
        for p in found
        for concept, begin, end in (
            *(("9201", *stay) for stay in p.stays),
            *(("9202", day, day) for day in p.visits),
        )
    ]
    tables["measurement"] = [
        {
            "person_id": p.key,
            "measurement_concept_id": "3004249",
            "measurement_date": at.date().isoformat(),
            "measurement_datetime": at.isoformat(sep=" "),
            "value_as_number": str(value),
            "value_as_concept_id": "",
            "unit_concept_id": "8876",
        }
        for p in found
        for at, value in p.pressures
    ]
    tables["observation"] = [
        {
            "person_id": p.key,
            "observation_concept_id": "43054909",
            "observation_date": day.isoformat(),
            "value_as_number": "",
            "value_as_concept_id": _ANSWERS[word][0],
            "unit_concept_id": "0",
        }
        for p in found
        for day, word in p.smoking
    ]
    tables["condition_occurrence"] = [
        {
            "person_id": p.key,
            "condition_concept_id": _DIABETES[kind][0],
            "condition_start_date": day.isoformat(),
        }
        for p in found
        for day, kind in p.diabetes
    ]
    tables["drug_exposure"] = [
        {
            "person_id": p.key,
            "drug_concept_id": "1503297",
            "drug_exposure_start_date": day.isoformat(),
        }
        for p in found
        for day in p.drugs
    ]
    return tables


def write_tables(folder: Path, tables: Mapping[str, Sequence[Mapping[str, str]]]) -> Path:
    """Writes tables as a folder of CSV files."""
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


Resource = dict[str, Any]


def _code(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _encounter(p: Patient, number: int, kind: str, begin: date, end: date) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": f"e{p.key}-{number}",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": kind},
        "subject": {"reference": f"Patient/{p.key}"},
        "period": {"start": begin.isoformat(), "end": end.isoformat()},
    }


def _observation(p: Patient, number: str, code: str, when: str, value: Resource) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"o{p.key}-{number}",
        "status": "final",
        "code": _code("http://loinc.org", code),
        "subject": {"reference": f"Patient/{p.key}"},
        "effectiveDateTime": when,
        **value,
    }


def fhir_resources(found: Sequence[Patient]) -> Iterator[Resource]:
    """Yields the patients as FHIR R4 resources; blood pressure as a panel with two components."""
    for p in found:
        who = {"reference": f"Patient/{p.key}"}
        patient = {
            "resourceType": "Patient",
            "id": p.key,
            "gender": p.sex,
            "birthDate": p.born.isoformat(),
        }
        yield patient | ({"deceasedDateTime": p.died.isoformat()} if p.died else {})
        for number, (begin, end) in enumerate(p.stays):
            yield _encounter(p, number, "IMP", begin, end)
        for number, day in enumerate(p.visits, start=len(p.stays)):
            yield _encounter(p, number, "AMB", day, day)
        for number, (at, value) in enumerate(p.pressures):
            parts = [("8480-6", value), ("8462-4", 70.0)]
            component = [
                {
                    "code": _code("http://loinc.org", code),
                    "valueQuantity": {
                        "value": number_,
                        "unit": "mmHg",
                        "system": "http://unitsofmeasure.org",
                        "code": "mm[Hg]",
                    },
                }
                for code, number_ in parts
            ]
            when = f"{at.isoformat()}+01:00"
            yield _observation(p, f"p{number}", "85354-9", when, {"component": component})
        for number, (day, word) in enumerate(p.smoking):
            answer = {"valueCodeableConcept": _code("http://loinc.org", _ANSWERS[word][1])}
            yield _observation(p, f"s{number}", "72166-2", day.isoformat(), answer)
        for number, (day, kind) in enumerate(p.diabetes):
            yield {
                "resourceType": "Condition",
                "id": f"c{p.key}-{number}",
                "code": _code("http://snomed.info/sct", _DIABETES[kind][1]),
                "subject": who,
                "onsetDateTime": day.isoformat(),
            }
        for number, day in enumerate(p.drugs):
            rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
            yield {
                "resourceType": "MedicationRequest",
                "id": f"m{p.key}-{number}",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": _code(rxnorm, "6809"),
                "subject": who,
                "authoredOn": day.isoformat(),
            }


def write_ndjson(folder: Path, resources: Sequence[Resource]) -> Path:
    """Writes resources as a folder of NDJSON, a file for each type."""
    folder.mkdir(exist_ok=True)
    lines: dict[str, list[str]] = {}
    for resource in resources:
        lines.setdefault(str(resource["resourceType"]), []).append(json.dumps(resource))
    for kind, written in lines.items():
        (folder / f"{kind}.000.ndjson").write_text("\n".join(written) + "\n")
    return folder


def main(folder: Path) -> None:
    """Writes the patients of all hospitals."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate(HOSPITALS.items()):
        found = patients(count, seed)
        write_csv(folder / f"{name}.csv", found)
        write_tables(folder / f"{name}-omop", omop_tables(found))
        write_ndjson(folder / f"{name}-fhir", list(fhir_resources(found)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
