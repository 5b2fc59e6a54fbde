"""Faults of records: the catalogue of their names, one fault with its place, and small counts."""

from pipelines.sources.faults.record_fault import (
    MAX_TOLD,
    RecordFault,
    RowWord,
    faults_of,
    reason_of,
    refusal,
    refused,
    refused_file,
    require_ordinary,
    unreadable,
)

__all__ = [
    "MAX_TOLD",
    "RecordFault",
    "RowWord",
    "faults_of",
    "reason_of",
    "refusal",
    "refused",
    "refused_file",
    "require_ordinary",
    "unreadable",
]
