"""One page of the dashboard over a store in memory, as Streamlit's own test driver draws it."""

from streamlit.testing.v1 import AppTest

from tests.support.machine.patience import PATIENCE
from tests.support.simulated.folder_page import words
from tests.support.simulated.stored_runs import StoredRuns

#: Sentences of a page, without the signs that keep them from being Markdown.
sentences = words


def show(views: StoredRuns, name: str, language: str = "en") -> AppTest:
    """Returns a page, drawn; what goes wrong while it is drawn fails the test."""
    page = AppTest.from_function(_script, args=(views, name, language), default_timeout=PATIENCE)
    return again(page)


def again(page: AppTest) -> AppTest:
    """Returns the page, drawn again."""
    page.run()
    assert not page.exception, [one.value for one in page.exception]
    return page


def _script(views, name, language):  # type: ignore[no-untyped-def]  # text, without imports
    from dashboard import app
    from dashboard.page import Page
    from dashboard.texts import speak

    speak(language)
    app.show_page(name, Page(views=views))
