"""Texts of the dashboard: complete in every language, used, and with the same values."""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from contextvars import Context
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import dashboard
from dashboard.texts import LANGUAGES, in_this_language, language, say, speak

ROOM = Path(dashboard.__file__).parent


def texts_of(spoken: str) -> Mapping[str, Any]:
    tables = tomllib.loads((ROOM / "texts" / f"{spoken}.toml").read_text(encoding="utf-8"))
    return {f"{table}.{name}": text for table, texts in tables.items()
            for name, text in texts.items()}  # fmt: skip


def values_of(text: Any) -> set[str]:
    forms = text.values() if isinstance(text, Mapping) else [text]
    return {name for form in forms for _, name, _, _ in Formatter().parse(form) if name}


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    speak("en")


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_every_language_has_every_text_with_the_same_values(spoken: str) -> None:
    english, other = texts_of("en"), texts_of(spoken)
    assert set(other) == set(english)
    for key, text in english.items():
        assert values_of(other[key]) == values_of(text), key
        assert isinstance(other[key], Mapping) == isinstance(text, Mapping), key


def said_in(tree: ast.AST) -> Iterator[str]:
    """The keys that a module asks for; those made of parts as a beginning."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
            key = node.args[0]
            if isinstance(key, ast.Constant):
                yield key.value
            elif isinstance(key, ast.JoinedStr) and isinstance(key.values[0], ast.Constant):
                yield f"{key.values[0].value}*"


def test_every_text_is_said_somewhere_and_everything_said_is_a_text() -> None:
    said = {key for file in ROOM.rglob("*.py") for key in said_in(ast.parse(file.read_text()))}
    whole = {key for key in said if not key.endswith("*")}
    begun = tuple(key[:-1] for key in said if key.endswith("*"))
    known = set(texts_of("en"))
    assert whole <= known
    assert {key for key in known - whole if not key.startswith(begun)} == set()


#: Calls of Streamlit whose first argument is read by people.
WRITES = frozenset(
    "title header subheader info success warning error caption expander popover button selectbox "
    "multiselect toggle checkbox text_input text_area number_input date_input form_submit_button "
    "segmented_control select_slider download_button".split()
)


def written_past_the_texts(tree: ast.AST) -> Iterator[str]:
    """The titles, labels and sentences that a module writes by itself, in one language."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in WRITES and node.args:
            first = node.args[0]
            parts = first.values if isinstance(first, ast.JoinedStr) else [first]
            for part in parts:
                if isinstance(part, ast.Constant) and any(map(str.isalpha, str(part.value))):
                    yield f"{ast.unparse(node.func)}({ast.unparse(first)})"


def test_no_page_has_a_title_or_label_in_one_language_alone() -> None:
    drawn = [file for part in ("app_pages", "elements") for file in (ROOM / part).rglob("*.py")]
    found = {
        f"{file.relative_to(ROOM)}: {said}"
        for file in drawn
        for said in written_past_the_texts(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == set()
    assert [*written_past_the_texts(ast.parse('st.subheader(f"Clip {one}")'))]


@pytest.mark.parametrize(
    ("wanted", "spoken"), [("de-CH", "de"), ("FR", "fr"), ("ja", "en"), (None, "en"), ("", "en")]
)
def test_a_language_tag_chooses_a_language_that_is_spoken(wanted: str | None, spoken: str) -> None:
    assert speak(wanted) == spoken == language()


@pytest.mark.parametrize(
    ("spoken", "number", "words"),
    [("en", 1, "1 hospital"), ("en", 0, "0 hospitals"), ("de", 2, "2 Krankenhäuser"),
     ("fr", 0, "0 hôpital"), ("fr", 2, "2 hôpitaux")],
)  # fmt: skip
def test_a_number_chooses_the_form(spoken: str, number: int, words: str) -> None:
    speak(spoken)
    assert say("sites.count", number=number).startswith(words)


def test_a_part_that_is_drawn_again_in_another_thread_keeps_its_language() -> None:
    found = []
    speak("de")
    drawn = in_this_language(lambda: found.append(language()))
    Context().run(drawn)  # as a new thread has it: nothing was chosen there
    Context().run(lambda: found.append(language()))
    assert found == ["de", "en"]


def test_an_unknown_text_is_refused() -> None:
    with pytest.raises(KeyError):
        say("nowhere.to.be.found")
