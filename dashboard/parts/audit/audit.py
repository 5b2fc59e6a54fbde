"""The audit of a run on one page."""

from dashboard import audit_rows
from dashboard.parts.audit.cosigners import show_cosigners
from dashboard.parts.audit.people import show_acts, show_changes, show_incidents
from dashboard.parts.audit.trail import show_proof, show_trail
from dashboard.parts.choice import chosen_run
from dashboard.parts.elements import show_statement
from dashboard.presentation import DashboardViews


def show_audit(views: DashboardViews) -> None:
    """Shows what waits for people, who has cosigned the log, and acts and entries of a run."""
    seen = views.governance()
    if (warning := audit_rows.founding(seen)) is not None:
        show_statement(warning)
    show_incidents(seen)
    show_changes(seen)
    log = views.cosigned_log()
    show_cosigners(log)
    dossier = chosen_run(views)
    if dossier is None:
        return
    show_acts(views, dossier)
    show_trail(dossier)
    show_proof(views, dossier, log.size)
