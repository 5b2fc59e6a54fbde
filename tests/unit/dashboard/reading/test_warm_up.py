"""Warming up asks what pages ask, and leaves every refusal to them."""

from pathlib import Path

import pytest

from coordinator.views.views import Views
from dashboard.reading.cached import cached_views
from dashboard.reading.warm_up import warm_up
from tests.support.simulated.output_folder import change


def test_what_pages_ask_first_is_answered_before_they_ask(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up(genuine)
    views, asked = cached_views(genuine.resolve()), []
    for name in ("runs", "sites", "alerts", "cosigned_log", "dossier"):
        monkeypatch.setattr(Views, name, lambda *_, name=name: asked.append(name))
    views.sites(), views.alerts(), views.cosigned_log(), views.dossier(views.runs()[0].run_id)
    assert asked == []
    views.close()


def test_a_folder_that_cannot_be_read_is_left_to_the_page(folder: Path, tmp_path: Path) -> None:
    warm_up(tmp_path)
    change(folder, "UPDATE run SET sites_json = '[]'")
    warm_up(folder)
    cached_views(folder.resolve()).close()
