"""The audit of a run on one page."""

from dashboard.elements.choice import chosen_run
from dashboard.elements.pieces import show_statement
from dashboard.page import Page
from dashboard.pages.audit.acts import show_acts
from dashboard.pages.audit.cosigners import show_cosigners
from dashboard.pages.audit.trail import show_proof, show_trail
from dashboard.rows import audit


def show(page: Page) -> None:
    """Shows what waits for people, who has cosigned the log, and acts and entries of a run."""
    views = page.views
    seen = views.governance()
    if (warning := audit.founding(seen)) is not None:
        show_statement(warning)
    log = views.cosigned_log()
    show_cosigners(log)
    dossier = chosen_run(views)
    if dossier is None:
        return
    show_acts(views, dossier)
    show_trail(dossier)
    show_proof(views, dossier, log.size)
