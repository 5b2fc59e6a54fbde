"""The hospital's query: one SELECT, or WITH, in a file.

This guards against slips; what a query may do, the database's account says.
"""

import re
from pathlib import Path

from pipelines.sources.faults import reason_of
from protocol.errors import CohortRefused

#: A longer file is no query.
MAX_BYTES = 1 << 18
#: Words that no reading query has, outside of quotes and comments.
_WRITING = frozenset({"insert", "update", "delete", "merge", "into"})

_TOKENS = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<quoted>[eE]'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"|`[^`]*`
        |\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<word>[^\W\d]\w*)
    | (?P<open>'|"|`|/\*)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def read_query(path: Path, *, site: str) -> str:
    """Returns the query in a file.

    Raises:
        CohortRefused: it cannot be read, or is not one SELECT.
    """
    where = f"site {site}: the query {path.name!r}"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CohortRefused(
                f"{where} is larger than {MAX_BYTES} bytes, so it is none: name the "
                "file of one SELECT under data.query"
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CohortRefused(
            f"{where} cannot be read: {reason_of(error)}; mend data.query in the site file, or its "
            "permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise CohortRefused(f"{where} is not UTF-8 text: save it so") from error
    problem = problem_of(text)
    if problem is not None:
        raise CohortRefused(f"{where} {problem}")
    return text.rstrip().rstrip(";")


def problem_of(text: str) -> str | None:
    """Returns why a text is not one reading query, or None.

    >>> problem_of("SELECT a FROM b -- one; not two")
    >>> problem_of("WITH c AS (DELETE FROM b RETURNING *) SELECT * FROM c")
    'holds the word DELETE: a query only reads; where it names a column, put it in quotes'
    """
    first, ended = "", False
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup if token.lastgroup != "tag" else "quoted"
        if kind == "space":
            continue
        if kind == "open":
            return "ends within quotes or a comment: close them"
        if ended:
            return "holds more than one statement: leave one SELECT"
        if kind == "end":
            ended = True
        elif kind == "word":
            word = token.group().lower()
            first = first or word
            if word in _WRITING:
                return (
                    f"holds the word {word.upper()}: a query only reads; where it names a column, "
                    "put it in quotes"
                )
        elif kind in ("quoted", "other") and not first and token.group() != "(":
            break
    if first not in ("select", "with"):
        return "does not begin with SELECT or WITH: write one query that gives the records"
    return None
