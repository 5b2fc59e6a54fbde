"""A store that a newer version of this software has changed, while the dashboard was open."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.app import PAGES
from dashboard.reading.cached import cached_views
from dashboard.texts import say
from tests.support.machine.databases import run_sql
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.folder_page import words


@pytest.fixture(scope="module")
def upgraded(genuine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that the dashboard has open, upgraded meanwhile by a newer version."""
    folder = Path(shutil.copytree(genuine, tmp_path_factory.mktemp("upgraded") / "out"))
    views = cached_views(folder.resolve())
    assert views.runs()
    run_sql(folder / "collegium.db", "UPDATE alembic_version SET version_num = '9999'")
    yield folder
    views.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_newer_store_is_one_sentence_that_says_what_to_do(
    name: str, upgraded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(out: str) -> None:
        from dashboard import app

        app.run(["--out", out])

    def only(entries: Sequence[Any], **drawn: Any) -> Any:
        return navigation([one for one in entries if one.title == title], **drawn)

    navigation, title = st.navigation, say(f"navigation.{name}")
    monkeypatch.setattr(st, "navigation", only)
    page = AppTest.from_function(script, args=(str(upgraded),), default_timeout=PATIENCE).run()
    assert not page.exception
    assert page.title[0].value == title
    (error,) = page.error
    assert "written by another version of collegium" in error.value
    assert "use the version that wrote it" in error.value
    assert "run-1" not in words(page)
