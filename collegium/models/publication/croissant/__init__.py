"""Croissant: what a study declares of its records, as other software reads data sets.

MLCommons Croissant 1.1 with Croissant RAI 1.0, as JSON-LD by hand.

Rules:

1. A description of the consortium's cohort is a function of the study alone: no record is read.
2. What a hospital says of its own file, its digest and counts of columns it has not, stays in the
   hospital: ``hospital_dataset`` writes it there, and nothing sends it.
3. No patient's value and no count of patients stands in either; values are those of vocabularies.
"""

from collegium.models.publication.croissant.dataset import (
    CROISSANT,
    DatasetTerms,
    croissant_bytes,
    study_dataset,
    write_dataset,
)
from collegium.models.publication.croissant.hospital_dataset import hospital_dataset

#: What commands, crates and kits use.
__all__ = [
    "CROISSANT",
    "DatasetTerms",
    "croissant_bytes",
    "hospital_dataset",
    "study_dataset",
    "write_dataset",
]
