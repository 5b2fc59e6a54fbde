"""The chart element: every chart comes with its table, its files, and what it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import dashboard
from compliance.charts import run as charts
from compliance.reports import run_tables
from dashboard.elements import charts as element
from dashboard.texts import LANGUAGES, say, speak
from tests.support.machine.patience import PATIENCE
from tests.support.simulated import dossiers

ROOM = Path(dashboard.__file__).parent
#: Texts of the element itself.
OWN = {"what", "numbers", "download_png", "download_svg", "download_csv"}


def _calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    for file in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
                yield file, node


def _abouts() -> set[str]:
    """What the dashboard says of its charts; of a value that varies, all that it may be."""
    found = set()
    for name in ("show_chart", "show_drawing"):
        for _, call in _calls(name):
            for given in call.keywords:
                if given.arg == "about" and isinstance(given.value, ast.Constant):
                    found.add(given.value.value)
    return found | {"psi", "ks"}


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    speak("en")


def test_no_page_draws_a_chart_past_the_element() -> None:
    for name in ("altair_chart", "vega_lite_chart", "line_chart", "bar_chart", "plotly_chart"):
        assert {file.relative_to(ROOM).as_posix() for file, _ in _calls(name)} <= {
            "elements/charts.py"
        }, name


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_what_each_chart_is_takes_two_sentences(spoken: str) -> None:
    speak(spoken)
    for about in _abouts():
        assert len(re.findall(r"[.?!](?= |$)", say(f"charts.{about}"))) == 2, about


def test_every_text_about_a_chart_is_of_a_chart() -> None:
    import tomllib

    known = tomllib.loads((ROOM / "texts" / "en.toml").read_text(encoding="utf-8"))["charts"]
    assert set(known) - OWN == _abouts()


def test_a_chart_has_its_numbers_and_its_files() -> None:
    def script() -> None:
        from compliance.charts import run as charts
        from compliance.reports import run_tables
        from dashboard.elements.charts import show_chart
        from tests.support.simulated import dossiers

        whole = dossiers.finished()
        for dossier in (whole, dossiers.without_privacy()):
            show_chart(
                charts.privacy_spent(dossier.sites), run_tables.budget_table(dossier),
                about="budget",
            )  # fmt: skip

    page = AppTest.from_function(script, default_timeout=PATIENCE).run()
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 2 == len(page.expander)
    assert [button.label for button in page.get("download_button")] == ["PNG", "SVG", "CSV"] * 2
    assert any("budget for life" in text.value for text in page.markdown)


def test_files_are_made_of_the_chart_and_its_table_when_they_are_asked_for() -> None:
    dossier = dossiers.finished()
    files = element._downloads(
        charts.privacy_spent(dossier.sites), run_tables.budget_table(dossier)
    )
    assert files["png"]()[:4] == b"\x89PNG"
    assert str(files["svg"]()).startswith("<svg role=")
    assert "east" in str(files["csv"]()) and "36%" in str(files["csv"]()).replace(" ", "")


def test_height_of_a_chart_does_not_depend_on_its_table() -> None:
    source = (ROOM / "elements" / "charts.py").read_text(encoding="utf-8")
    assert "len(table.rows)" not in source
