"""Evidence: the subject of a report with its log entries, and the controls that they show."""

from compliance.reports.evidence.controls import CONTROLS, Control, control_results, short_name
from compliance.reports.evidence.entry_words import entry_words, log_lines
from compliance.reports.evidence.processing_claims import (
    columns_read,
    institutions,
    measures,
    purposes,
)
from compliance.reports.evidence.subject import AUTHORS, ReportSubject

#: What reports use.
__all__ = [
    "AUTHORS",
    "CONTROLS",
    "Control",
    "ReportSubject",
    "columns_read",
    "control_results",
    "entry_words",
    "institutions",
    "log_lines",
    "measures",
    "purposes",
    "short_name",
]
