"""Fixtures of the pages: Streamlit's driver kept apart, and people who are signed in."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard.texts import speak
from tests.support.hospital.people import People, people_of
from tests.support.hospital.person_viewer import PersonViewer
from tests.support.simulated.folder_page import FolderPage, page_over


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Streamlit leaves its script as ``__main__``, which child processes would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    yield
    speak("en")


@pytest.fixture
def people(folder: Path) -> Iterator[People]:
    """The people of a copy of a genuine folder: an administrator, an officer, a lead."""
    with people_of(folder) as found:
        yield found


@pytest.fixture
def seen_by(
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], FolderPage]:
    """Returns the pages as one of the people sees them."""

    def page(name: str) -> FolderPage:
        return page_over(folder, monkeypatch, PersonViewer(folder, name, people.key(name)))

    return page
