"""Parts of pages that are drawn again by themselves: all through one element, errors too."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import RerunException
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard.elements.refreshed import show_refreshed, show_silence
from dashboard.texts import say, speak
from dashboard.viewer import DemoViewer
from protocol.errors import FederationError, PolicyRefused, StoreBroken, StoreSilent
from tests.support.machine.patience import PATIENCE

ROOM = Path(dashboard.__file__).parent


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit leaves its script as ``__main__``, which child processes would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """The parts that were drawn, as Streamlit keeps them to draw them again."""
    kept: list[Callable[[], None]] = []

    def fragment(draw: Callable[[], None], run_every: float | None) -> Callable[[], None]:
        kept.append(draw)
        return draw

    monkeypatch.setattr(st, "fragment", fragment)
    return kept


@pytest.mark.parametrize("kind", [StoreBroken, StoreSilent, PolicyRefused])
def test_an_error_within_a_part_is_told_by_the_page_that_draws_it(
    kind: type[FederationError],
) -> None:
    def script(kind) -> None:  # type: ignore[no-untyped-def]  # text, without imports
        import streamlit as st

        from dashboard.elements.refreshed import show_refreshed
        from dashboard.viewer import DemoViewer

        def draw() -> None:
            raise kind("told")

        try:
            show_refreshed(DemoViewer(), draw, None)
        except kind as error:
            st.text(f"caught {error}")

    page = AppTest.from_function(script, args=(kind,), default_timeout=PATIENCE).run()
    assert not page.exception and page.text[0].value == "caught told"


def test_a_part_that_is_drawn_again_speaks_as_its_page_did_and_tells_an_error_in_its_place(
    parts: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, faults = list[str](), list[FederationError]()
    monkeypatch.setattr(st, "error", lambda text, icon: said.append(text))

    def draw() -> None:
        if faults:
            raise faults.pop()
        said.append(say("navigation.sites"))

    speak("de")
    show_refreshed(DemoViewer(), draw, 1.0)
    speak("en")
    parts[0]()
    assert said == ["Standorte", "Standorte"]
    faults.append(StoreBroken("a record was changed"))
    parts[0]()
    assert said[2:] == ["a record was changed"]
    faults.append(StoreSilent("gone"))
    monkeypatch.setattr(st, "rerun", rerun)
    with pytest.raises(RerunException):
        parts[0]()
    speak("en")


def rerun() -> None:
    raise RerunException(None)  # type: ignore[arg-type]


def test_a_page_without_its_database_is_drawn_anew_once_it_answers(
    parts: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, answers = list[str](), [True, False]
    monkeypatch.setattr(st, "error", lambda text, icon: said.append(text))
    monkeypatch.setattr(st, "rerun", rerun)
    show_silence(answers.pop)
    parts[0]()
    assert said == [say("navigation.silent")] * 2
    with pytest.raises(RerunException):
        parts[0]()


def test_no_page_refreshes_itself_past_the_element() -> None:
    """Elsewhere a part would be drawn again in English, whatever language was chosen."""
    found = {
        file.relative_to(ROOM).as_posix()
        for file in ROOM.rglob("*.py")
        if "st.fragment(" in file.read_text(encoding="utf-8")
    }
    assert found == {"elements/refreshed.py"}
