"""A part of the dashboard's page over a real folder, and the files that it offers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.page import Tools
from dashboard.viewer import DemoViewer, Viewer
from tests.support.machine.patience import PATIENCE


@dataclass
class FolderPage:
    """A page over a folder; ``offered`` are its files by name, as it was drawn last."""

    out: Path
    viewer: Viewer = field(default_factory=DemoViewer)
    tools: Tools = field(default_factory=Tools)
    offered: dict[str, bytes] = field(default_factory=dict)

    def look(self, name: str) -> AppTest:
        """Returns one page of the dashboard, by the name in its address."""

        def script(out, name, viewer, tools) -> None:  # type: ignore[no-untyped-def]
            from pathlib import Path

            from coordinator.views.views import open_views
            from dashboard import app
            from dashboard.page import Page
            from dashboard.reading.cached import CachedViews

            views = CachedViews(lambda: open_views(Path(out)))
            app.show_page(name, Page(views=views, viewer=viewer, tools=tools))
            views.close()

        args = (str(self.out), name, self.viewer, self.tools)
        return self.again(AppTest.from_function(script, args=args, default_timeout=PATIENCE))

    def press(self, page: AppTest, label: str) -> AppTest:
        """Returns the page after a button, the first with this label, was pressed."""
        next(one for one in page.button if one.label == label).click()
        return self.again(page)

    def again(self, page: AppTest) -> AppTest:
        """Returns the page, drawn again."""
        self.offered.clear()
        page.run()
        assert not page.exception
        return page


def page_over(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    viewer: Viewer | None = None,
    tools: Tools | None = None,
) -> FolderPage:
    """Returns a page over a folder whose downloads can be looked into."""
    page = FolderPage(out, viewer or DemoViewer(), tools or Tools())

    def offer(label: str, *, data: bytes, file_name: str, **drawn: Any) -> None:
        page.offered[file_name] = data

    monkeypatch.setattr(st, "download_button", offer)
    return page


def words(page: AppTest) -> str:
    """Returns all sentences of a page."""
    kinds = [page.title, page.markdown, page.subheader, page.caption, page.info, page.warning,
             page.error, page.success, page.code]  # fmt: skip
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def rows(page: AppTest, place: int) -> list[dict[str, str]]:
    """Returns the rows of a table of texts."""
    found: list[dict[str, str]] = page.table[place].value.reset_index().to_dict("records")
    return [{key: text.replace("\\", "") for key, text in row.items()} for row in found]
