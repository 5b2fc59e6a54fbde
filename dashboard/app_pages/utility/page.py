"""Utility and privacy on one page: a study's runs, and comparisons that a simulation left."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import streamlit as st

from dashboard.app_pages.utility.comparisons import show_baselines, show_strategies
from dashboard.app_pages.utility.study import show_study
from dashboard.page import Page
from dashboard.rows import words
from dashboard.texts import say
from protocol.errors import FederationError, StoreSilent

Found = TypeVar("Found")


def show(page: Page) -> None:
    """Shows utility against epsilon of the chosen run's study, or a comparison beside the runs."""
    parts: dict[str, Callable[[], object]] = {say("utility.study"): partial(show_study, page.views)}
    if compared := beside(page.views.baselines, show_baselines):
        parts[say("utility.baselines")] = compared
    if compared := beside(page.views.strategies, show_strategies):
        parts[say("utility.strategies")] = compared
    names = list(parts)
    chosen = names[0]
    if len(names) > 1:
        chosen = (
            st.segmented_control(
                say("utility.part"), names, default=chosen, label_visibility="collapsed"
            )
            or chosen
        )
    parts[chosen]()


def beside(
    read: Callable[[], Found | None], drawn: Callable[[Found], object]
) -> Callable[[], object] | None:
    """Returns what draws a comparison, or why it cannot be read; None where there is none."""
    try:
        found = read()
    except StoreSilent:  # the whole page says so
        raise
    except FederationError as error:
        return partial(st.error, words.plain(str(error)), icon=":material/error:")
    return None if found is None else partial(drawn, found)
