"""The look-up of texts: by key, in the language of whoever looks.

Rules:

1. English is complete. A text that another language lacks is shown in English.
2. A text with a number has the forms ``one`` and ``other``; ``number`` chooses.
3. Sentences that people sign (statements and reports) are not texts of the dashboard: they stand in
   ``compliance`` in English, and stay so whatever the language.
"""

import tomllib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Any

#: The languages that the dashboard speaks, by their own names; the first is the complete one.
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch", "fr": "Français"}

_FIRST = next(iter(LANGUAGES))
_SPOKEN: ContextVar[str] = ContextVar("language", default=_FIRST)


def speak(wanted: str | None) -> str:
    """Chooses the language of this script's texts; returns the one that was chosen.

    Args:
        wanted: a language tag such as ``de`` or ``de-CH``; English where it is not spoken.
    """
    base = (wanted or "").split("-")[0].lower()
    spoken = base if base in LANGUAGES else _FIRST
    _SPOKEN.set(spoken)
    return spoken


def language() -> str:
    """Returns the language of this script's texts."""
    return _SPOKEN.get()


def in_this_language(draw: Callable[[], None]) -> Callable[[], None]:
    """Returns a function that draws in the language of this script, in whatever thread it runs.

    A part of a page that Streamlit draws again by itself runs in a thread of its own, in which no
    language was chosen.
    """
    spoken = language()

    def drawn() -> None:
        speak(spoken)
        draw()

    return drawn


def say(key: str, **values: object) -> str:
    """Returns the text of a key, with its values in their places.

    Args:
        key: the table and the name in it, with a dot: ``today.title``.
        values: by name; ``number`` also chooses between ``one`` and ``other``.

    Raises:
        KeyError: no language has such a text.
    """
    spoken = language()
    found = _texts(spoken).get(key) or _texts(_FIRST)[key]
    if isinstance(found, Mapping):
        found = found["one" if _is_one(spoken, values["number"]) else "other"]
    return str(found).format(**values)


def _is_one(spoken: str, number: object) -> bool:
    """Whether a number takes the singular (Unicode CLDR's plural rules of these languages)."""
    return number == 1 or (spoken == "fr" and number == 0)


@cache
def _texts(spoken: str) -> Mapping[str, Any]:
    """Returns the texts of a language by their whole keys."""
    content = files("dashboard.texts").joinpath(f"{spoken}.toml").read_text(encoding="utf-8")
    return {
        f"{table}.{name}": text
        for table, texts in tomllib.loads(content).items()
        for name, text in texts.items()
    }
