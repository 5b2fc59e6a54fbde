"""Passwords of accounts: what is taken and what is refused when a new one is chosen.

Rules:

1. At least 15 letters: whoever steals a sealed key can guess at leisure, and the one-time code does
   not slow that down, so the password is held to the length of one that stands alone.
2. No rule of composition, no expiry. Every letter that can be typed counts, blanks too.
3. What everybody tries first is refused: common passwords, the same few letters again and again,
   a run of neighbours, the person's own name.

Source: NIST SP 800-63B-4 (2025), section 3.1.1.2.
"""

import re
import unicodedata

from protocol.errors import PolicyRefused

#: How many letters a new password has at least, and at most.
MIN_LETTERS = 15
MAX_LETTERS = 256
_FEWEST_DIFFERENT = 5
#: Words of the commonest passwords; one that is made of them alone is refused.
_COMMON = frozenset(
    "password passwort passw pass word letmein welcome admin administrator qwerty qwertz azerty "
    "qwertyuiop qwertzuiop asdfgh asdfghjkl zxcvbn zxcvbnm iloveyou love you monkey dragon "
    "football baseball sunshine princess master shadow superman batman trustno hello secret login "
    "test change changeme default user guest root hospital clinic doctor collegium dashboard "
    "streamlit summer winter spring autumn please let me in correct horse battery staple i is my "
    "the this".split()
)
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiop", "qwertzuiop", "asdfghjkl",
    "zxcvbnm", "yxcvbnm",
)  # fmt: skip
_SPELLED = str.maketrans("013457@$!", "oieastasi")


def normalised(password: str) -> bytes:
    """Returns the bytes of a password from which a key is derived (NFKC, UTF-8)."""
    return unicodedata.normalize("NFKC", password).encode()


def require_password(password: str, name: str) -> None:
    """Checks a new password of a person.

    Raises:
        PolicyRefused: it is too short, too long, or one that is tried first; says which.
    """
    letters = unicodedata.normalize("NFKC", password)
    if len(letters) < MIN_LETTERS:
        raise PolicyRefused(
            f"a password has at least {MIN_LETTERS} letters: a sentence is easy to remember"
        )
    if len(letters) > MAX_LETTERS:
        raise PolicyRefused(f"a password has at most {MAX_LETTERS} letters")
    plain = letters.casefold()
    if len(set(plain)) < _FEWEST_DIFFERENT:
        raise PolicyRefused("this password repeats a few letters: it is guessed at once")
    if _is_of_neighbours(plain):
        raise PolicyRefused("this password follows the keyboard or the alphabet: choose another")
    if _is_common(plain, name):
        raise PolicyRefused("this password is one of those that are tried first: choose another")


def _is_of_neighbours(plain: str) -> bool:
    """Whether a password is nothing but runs of neighbours, forwards or backwards."""
    pairs = {row[at : at + 2] for row in _ROWS for at in range(len(row) - 1)}
    pairs |= {pair[::-1] for pair in pairs}
    together = sum(plain[at : at + 2] in pairs for at in range(len(plain) - 1))
    return together >= 0.7 * (len(plain) - 1)


def _is_common(plain: str, name: str) -> bool:
    """Whether nothing is left of a password without digits, signs, common words and the name."""
    own = {part for part in re.split(r"\W+", name.casefold()) if part}
    known = _COMMON | own
    return any(_is_made_of(text, known) for text in (plain, plain.translate(_SPELLED)))


def _is_made_of(text: str, words: frozenset[str] | set[str]) -> bool:
    letters = "".join(c for c in text if c.isalpha())
    reached = {0}
    for end in range(1, len(letters) + 1):
        if any(
            end - len(word) in reached and letters[end - len(word) : end] == word for word in words
        ):
            reached.add(end)
    return len(letters) in reached
