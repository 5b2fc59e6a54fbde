"""Inputs and outcome of a model, as its study declares them."""

from collections.abc import Iterator

from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn
from protocol.study.cohort.labels import BinaryLabel
from protocol.study.cohort.vocabulary import canonical_token
from protocol.study.study import Study


def inputs_and_outcome(study: Study) -> Iterator[tuple[str, str]]:
    """Yields each input by its name with what is taken for it, and then the outcome.

    Everything is from the study; no record is looked at.
    """
    cohort = study.cohort
    if isinstance(cohort, ImageCohort):
        low, high = cohort.image.range
        sides = " x ".join(map(str, cohort.image.shape))
        yield "Image", f"{sides}, values from {low:g} to {high:g} before preprocessing"
    for column in cohort.features:
        taken = _number(column) if isinstance(column, NumberColumn) else _category(column)
        given = None if column.impute is None else f"{column.impute}"
        missing = f"; where it is missing, {given} is taken" if given is not None else ""
        yield column.name, f"{taken}{missing}"
    label = cohort.label
    named = ", ".join(label.columns) or "labels"
    if isinstance(label, BinaryLabel):
        positive = ", ".join(map(canonical_token, label.positive))
        negative = ", ".join(map(canonical_token, label.negative))
        yield "Outcome", f"{named}; positive: {positive}; negative: {negative}"
    else:
        yield "Outcome", f"{named}; study.json says how it is read"


def _number(column: NumberColumn) -> str:
    low, high = column.range
    unit = f" {column.unit}" if column.unit else ""
    beyond = "moved to its end" if column.outside == "clip" else "refused"
    return f"a number from {low:g} to {high:g}{unit}; what lies outside is {beyond}"


def _category(column: CategoryColumn) -> str:
    return f"one of {', '.join(column.tokens)}"
