"""The names of a study: forms of names, paths and digests, and hints at a misspelt one."""

import difflib
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

#: The form of a name: lower case, digits, dots, hyphens and underscores.
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
#: A name of a study, a site or a split.
Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME)]
#: A SHA-256 digest, in 64 hexadecimal digits.
Digest: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _stays_below(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path:
        raise ValueError("must be a relative path that stays inside its folder")
    return path


#: A path that stays inside the folder that it is relative to.
RelativePath: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=255), AfterValidator(_stays_below)
]
#: A seed that JSON keeps exactly.
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]

#: The bundled records: 569 real patients that come with scikit-learn.
BUNDLED = "bundled:breast-cancer-wisconsin"


def nearest(word: str, known: list[str]) -> str:
    """Returns a hint at the known word that was probably meant, or an empty string.

    >>> nearest("epsilonn", ["epsilon", "delta"])
    "; did you mean 'epsilon'?"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""
