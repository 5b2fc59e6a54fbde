"""Streamlit's own files are answered from memory, and nothing else is."""

from pathlib import Path

import pytest
import streamlit

from dashboard.server.http.start_page import element_scripts
from dashboard.server.http.static_files import static_answer

FOLDER = Path(streamlit.__file__).parent / "static" / "static"


def test_every_script_of_an_element_is_answered_as_it_lies_on_the_disk() -> None:
    names = element_scripts("/utility")
    assert len(names) > 30
    for name in names:
        answer = static_answer("GET", f"/static/js/{name}")
        assert answer is not None
        assert answer.body == (FOLDER / "js" / name).read_bytes()
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/static/../index.html"),
        ("GET", "/static/js/../js/index.js"),
        ("GET", "/static//js/index.js"),
        ("GET", "/static/js"),
        ("GET", "/static/js/missing.js"),
        ("POST", "/static/js/{named}"),
        ("GET", "/js/{named}"),
    ],
)
def test_what_is_not_in_the_listing_is_left_to_streamlit(method: str, path: str) -> None:
    named = element_scripts("/")[0]
    assert static_answer("GET", f"/static/js/{named}") is not None
    assert static_answer(method, path.format(named=named)) is None
