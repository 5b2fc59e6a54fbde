"""Kinds of report: each a function of a subject, in a file named after what it is for.

A kind states nothing that is not evidenced by the log, declared by a person, or said to be missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compliance.reports.document import Document
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds.annex_iv import ANNEX_IV, annex_iv
from compliance.reports.kinds.dpia_annex import DPIA_ANNEX, dpia_annex
from compliance.reports.kinds.hipaa_audit import HIPAA_AUDIT, hipaa_audit
from compliance.reports.kinds.model_card import MODEL_CARD, model_card
from compliance.reports.kinds.parts import SUPPORTS, KindText
from compliance.reports.kinds.privacy_statement import PRIVACY_STATEMENT, privacy_statement
from compliance.reports.kinds.processing_record import PROCESSING_RECORD, processing_record
from compliance.reports.kinds.security_log import SECURITY_LOG, security_log
from compliance.reports.kinds.study_dossier import STUDY_DOSSIER, study_dossier

#: What commands use.
__all__ = ["DEFAULT_KIND", "KINDS", "SUPPORTS", "Kind", "KindText"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of report: its words, and the function that makes it."""

    text: KindText
    make: Callable[[ReportSubject], Document]


_KINDS = (
    Kind(text=PRIVACY_STATEMENT, make=privacy_statement),
    Kind(text=STUDY_DOSSIER, make=study_dossier),
    Kind(text=PROCESSING_RECORD, make=processing_record),
    Kind(text=DPIA_ANNEX, make=dpia_annex),
    Kind(text=HIPAA_AUDIT, make=hipaa_audit),
    Kind(text=ANNEX_IV, make=annex_iv),
    Kind(text=MODEL_CARD, make=model_card),
    Kind(text=SECURITY_LOG, make=security_log),
)
#: The kinds of report, by the name that people type.
KINDS: Mapping[str, Kind] = {kind.text.name: kind for kind in _KINDS}
#: The kind that is written where none is named.
DEFAULT_KIND = PRIVACY_STATEMENT.name
