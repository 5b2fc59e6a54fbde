"""Croissant RAI 1.0: collection, exclusion, sensitive attributes and limits, as a study says."""

from collections.abc import Iterator
from typing import Any

from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.study import Study


def responsible_use(study: Study) -> dict[str, Any]:
    """Returns the properties of Croissant RAI that follow from a study; those unknown stay out."""
    said: dict[str, Any] = {
        "rai:dataCollection": "Each hospital's own records of its patients, by the contract that "
        "the study declares. They stay in the hospital.",
        "rai:dataCollectionType": ["Others"],
        "rai:dataUseCases": [study.purpose.strip()],
        "rai:personalSensitiveInformation": list(_sensitive(study)),
        "rai:dataLimitations": list(_limits(study)),
        "rai:dataPreprocessingProtocol": list(_exclusion(study)),
    }
    imputed = ", ".join(
        f"{column.name} by {column.impute}"
        for column in study.cohort.features
        if column.impute is not None
    )
    if imputed:
        said["rai:dataImputationProtocol"] = f"A missing cell is replaced: {imputed}."
    return {name: found for name, found in said.items() if found}


def _sensitive(study: Study) -> Iterator[str]:
    yield "health data of patients"
    for name, grouping in study.evaluation.groups.items():
        yield f"{name}: groups of patients, told apart by the column {grouping.column}"


def _limits(study: Study) -> Iterator[str]:
    cohort = study.cohort
    yield (
        "It says what the study declares; no record was looked at, and hospitals may differ in "
        "whom they treat and how they measure."
    )
    if cohort.allow_one_class:
        yield "A hospital may have patients of one class alone."
    yield f"A hospital with fewer than {cohort.min_patients} patients takes no part."


def _exclusion(study: Study) -> Iterator[str]:
    cohort = study.cohort
    if isinstance(cohort, TableCohort):
        yield {
            "refuse": "A record with a missing cell that is not imputed is refused.",
            "drop_row": "A record with a missing cell that is not imputed is left out.",
            "count": "Missing cells are counted as missing.",
        }[cohort.on_missing]
        if cohort.window is not None:
            named = ", ".join(cohort.window.columns)
            yield f"Records of another time than the study's window are left out, by {named}."
    yield (
        f"Of a patient with more than {cohort.max_records_per_patient} records so many are drawn."
    )
    if isinstance(cohort, ImageCohort):
        for step in cohort.image.preprocessing:
            name = step.model_dump(mode="json", by_alias=True).get("_target_")
            yield f"Every image goes through {name or type(step).__name__}."
