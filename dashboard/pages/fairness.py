"""Fairness: figures of hospitals and of groups of patients, and what they allow to conclude."""

from dashboard.elements.choice import chosen_run
from dashboard.elements.figures import show_calibration, show_fairness, show_groups
from dashboard.page import Page


def show(page: Page) -> None:
    """Shows the fairness of the chosen run's model."""
    dossier = chosen_run(page.views)
    if dossier is None:
        return
    show_fairness(dossier)
    show_groups(dossier)
    if dossier.calibration:
        show_calibration(dossier)
