"""Faults that keep a text from being YAML, in plain words: the line, the column, what to write.

The parser's own messages name tokens, scalars and block ends, which the author of
a study or a site file need not know.
"""

import re

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

#: What the parser says, as a pattern, and what people read instead; the first that fits.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"character '\\t'", "a tab stands here: write blanks instead"),
    (
        r"character (.+) that cannot start",
        r"a text cannot begin with \1: put the text in quotes",
    ),
    (
        "could not find expected ':'",
        "a key is missing here, or the ':' and the blank that follow a key: write 'key: value'",
    ),
    (
        "mapping values are not allowed",
        "a ':' was not expected here: put a text that holds ': ' in quotes, or indent this line "
        "like the lines beside it",
    ),
    (
        "mapping keys are not allowed",
        "a text cannot begin with '?': put the text in quotes",
    ),
    (
        "sequence entries are not allowed",
        "a list begins on the line after its key: write this '- ' there",
    ),
    (
        "expected <block end>",
        "this does not belong to what stands before it: put the whole text in quotes (an "
        "apostrophe within single quotes is written twice), or indent this line like the lines "
        "beside it",
    ),
    (
        r"expected ',' or '([\]}])'",
        r"a ',' is missing before this, or a '\1' that closes the brackets of line {opened}",
    ),
    (
        "unexpected (end of stream|document separator)",
        "the quote that opens here is never closed",
    ),
    (
        "escape",
        "a backslash within double quotes has a meaning of its own: write single quotes",
    ),
    (
        "expected chomping|expected indentation|a comment or a line break",
        "after '>' or '|' the text begins on the next line; a text that begins with one of them "
        "is put in quotes",
    ),
    (
        "expected alphabetic or numeric character",
        "a text cannot begin with '*', '&' or '%': put the text in quotes",
    ),
    (
        'duplicate key "([^"]*)"',
        r"the key '\1' stands here a second time: keep one",
    ),
    (
        "another document|document start|end marker",
        "a second document begins here: write one in a file, without '---' and '...'",
    ),
    (
        "expected the node content",
        "a value is missing here; a text that begins with ',', ']' or '}' is put in quotes",
    ),
)
_OTHERWISE = "this cannot be read: look at quotes, ':' and indentation here and in the line above"

#: Where what is wrong began, not where it was noticed.
_AT_THE_BEGINNING = re.compile("could not find expected ':'|end of stream|document separator")


def yaml_problem(source: str, text: str, error: YAMLError | ValueError | RecursionError) -> str:
    """Returns ``source:line:column: what is wrong, and what to write``.

    Args:
        source: what the text is called.
        text: what could not be read.
        error: what the parser said.
    """
    if isinstance(error, MarkedYAMLError):
        problem = str(error.problem or error.context or "")
        began = bool(_AT_THE_BEGINNING.search(problem)) and error.context_mark is not None
        mark = error.context_mark if began else error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        return f"{where}: {_plain(problem, error.context_mark)}"
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return f"{source}:{line}:{column}: a character that no text holds: take it out"
    return f"{source}: this cannot be read as YAML ({type(error).__name__})"


def _plain(problem: str, opened: object) -> str:
    for pattern, words in _WORDS:
        found = re.search(pattern, problem)
        if found:
            line = getattr(opened, "line", 0) + 1
            return found.expand(words).replace("{opened}", str(line))
    return _OTHERWISE
