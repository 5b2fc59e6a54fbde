"""Records and patients of a part of the records, by the groups that its label names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from pipelines.sources.faults.small_counts import Sum
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    EventLabel,
    FindingsLabel,
    Label,
    MaskLabel,
    SurvivalLabel,
    TimeToEventLabel,
)


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """Records and patients of a part.

    ``records_ill`` and ``patients_ill`` count those that are labelled positive, patients at
    least once; None for a label of another form. ``classes`` counts the patients with a
    record of each class, or with an event and without, for labels that have such groups.
    """

    records: int
    records_ill: int | None
    patients: int
    patients_ill: int | None
    classes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Records, label: Label) -> "ClassCounts":
        """Returns the counts of some records."""
        ill = None
        if isinstance(label, BinaryLabel | EventLabel):
            ill = records.with_label(lambda labels: labels > 0)
        return cls(
            records=len(records),
            records_ill=None if ill is None else int(ill.sum()),
            patients=records.num_patients,
            patients_ill=None if ill is None else _patients_with(records, ill),
            classes={
                name: _patients_with(records, chosen)
                for name, chosen in _groups(records, label).items()
            },
        )

    def less(self, other: "ClassCounts") -> "ClassCounts":
        """Returns what is left of these counts without those of a part."""

        def left(own: int | None, theirs: int | None) -> int | None:
            return None if own is None or theirs is None else own - theirs

        return ClassCounts(
            records=self.records - other.records,
            records_ill=left(self.records_ill, other.records_ill),
            patients=self.patients - other.patients,
            patients_ill=left(self.patients_ill, other.patients_ill),
            classes={name: n - other.classes.get(name, 0) for name, n in self.classes.items()},
        )

    def counts_by_name(self) -> tuple[dict[str, int], list[Sum]]:
        """Returns its counts by name, and which of them are sums of which.

        A name that begins with "not" counts those who are in no group of the rest of the name.
        """
        counts = {"records": self.records, "patients": self.patients}
        sums: list[Sum] = []
        if self.records == self.patients:
            sums.append(("records", ("patients",)))
            if self.records_ill is not None:
                sums.append(("records_ill", ("patients_ill",)))
        else:
            counts["not first"] = self.records - self.patients
            sums.append(("records", ("patients", "not first")))
            if self.records_ill is not None and self.patients_ill is not None:
                counts["not first ill"] = self.records_ill - self.patients_ill
                sums.append(("records_ill", ("patients_ill", "not first ill")))
        groups = [("records", "records_ill", self.records_ill)]
        groups += [("patients", "patients_ill", self.patients_ill)]
        classes = {f"class {name}": count for name, count in self.classes.items()}
        if classes and sum(classes.values()) == self.patients:
            counts |= classes
            sums.append(("patients", tuple(classes)))
        else:
            groups += [("patients", name, count) for name, count in classes.items()]
        for of, name, count in groups:
            if count is not None:
                counts |= {name: count, f"not {name}": counts[of] - count}
                sums.append((of, (name, f"not {name}")))
        return counts, sums


def _groups(records: Records, label: Label) -> dict[str, NDArray[np.bool_]]:
    """Returns which records belong to each group that a label names."""
    if isinstance(label, ClassLabel | MaskLabel):
        return {
            name: records.with_label(partial(np.equal, number))
            for number, name in enumerate(label.classes)
        }
    if isinstance(label, FindingsLabel):
        return {
            name: records.with_label(partial(_has_finding, number))
            for number, name in enumerate(label.findings)
        }
    if isinstance(label, SurvivalLabel | TimeToEventLabel):
        return {
            "event": records.with_label(lambda labels: labels > 0),
            "censored": records.with_label(lambda labels: labels < 0),
        }
    return {}


def groups_of(records: Records, label: Label) -> dict[str, int]:
    """Returns how many patients are in each group of which a study may ask for a minimum.

    The ill and the healthy, those with a record of each class, with each finding, with an event.
    """
    found = ClassCounts.of(records, label)
    if found.patients_ill is not None:
        return {
            "a positive label": found.patients_ill,
            "a negative label": found.patients - found.patients_ill,
        }
    if isinstance(label, SurvivalLabel | TimeToEventLabel):
        return {"an event": found.classes["event"]}
    word = "finding" if isinstance(label, FindingsLabel) else "class"
    return {f"{word} {name}": count for name, count in found.classes.items()}


def _has_finding(number: int, labels: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(labels[:, number] > 0)


def _patients_with(records: Records, chosen: NDArray[np.bool_]) -> int:
    return len(np.unique(records.patients[chosen]))
