"""Subjects of reports made of sample dossiers, without a database."""

from dataclasses import replace

from compliance.facts.dossier import Dossier, SubjectFacts
from compliance.reports.declarations import Declarations
from compliance.reports.document import Document
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import KINDS


def subject_of(
    *dossiers: Dossier, scope: str = "run", declarations: Declarations | None = None
) -> ReportSubject:
    """Returns a subject; the entries of a sample dossier become those of its run."""
    entries, own = [], []
    for dossier in dossiers:
        mine = [
            replace(entry, run=None, payload=dossier.study_digest)
            if entry.type == "study-registered"
            else replace(entry, run=dossier.run_id)
            for entry in dossier.audit.entries
        ]
        entries += [replace(entry, index=len(entries) + i) for i, entry in enumerate(mine)]
        own.append(dossier)
    log = replace(own[-1].audit, entries=tuple(entries), size=len(entries))
    facts = SubjectFacts(
        scope=scope,
        name=own[0].run_id if scope == "run" else "sample",
        dossiers=tuple(own),
        log=log,
        verification=own[-1].verification,
    )
    digest = "ab" * 32 if declarations is not None else ""
    return ReportSubject(facts=facts, declarations=declarations, digest=digest)


def privacy_report(dossier: Dossier) -> Document:
    """Returns the privacy statement of one run."""
    return KINDS["privacy-statement"].make(subject_of(dossier))
