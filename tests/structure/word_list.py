"""Words of names, and first words of docstrings: ``python -m tests.structure.word_list``.

A name is an identifier, a module or a package of the product; its words are what underscores
and capitals part. ``docs/glossary.md`` has a better word for each that is refused. A docstring
begins with a noun or a verb, not with a question word (``docs/house-style.md``).
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.structure.floors import ROOMS, ROOT

#: Words that no name holds; ``docs/glossary.md`` says what to write.
FORBIDDEN = frozenset(
    "muster office door house guest stranger strangers bell shelf farewell farewells chore chores "
    "trouble crew seat seats desk hall twin twins steady bench benches book books".split()
)
#: Words that no file or folder is called by.
FORBIDDEN_FILES = frozenset("utils utilities helpers common manager misc".split())
#: Pairs of words that no name holds side by side.
FORBIDDEN_PAIRS = frozenset({("own", "words"), ("once", "book"), ("hang", "up"), ("take", "up")})
#: Names that stand in somebody else's format: AMD calls it the guest's policy, the guest's SVN.
FOREIGN = frozenset({"guest_policy", "guest_svn"})
#: Words that no docstring begins with.
QUESTION_WORDS = frozenset("how what when where which who whoever whom whose why".split())


def words_of(name: str) -> list[str]:
    """Returns the words of an identifier.

    >>> words_of("_RoundArchive"), words_of("MAX_PER_SITE"), words_of("HTTPLink")
    (['round', 'archive'], ['max', 'per', 'site'], ['http', 'link'])
    """
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def is_forbidden(name: str) -> bool:
    """Whether a name holds a word or a pair of words of the list."""
    if name in FOREIGN:
        return False
    words = words_of(name)
    pairs = zip(words, words[1:], strict=False)
    return not FORBIDDEN.isdisjoint(words) or not FORBIDDEN_PAIRS.isdisjoint(pairs)


def names_of(text: str) -> Iterator[tuple[int, str]]:
    """Yields every identifier of a program, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def unnamed_in(text: str) -> Iterator[tuple[int, str]]:
    r"""Yields the first line of every docstring that begins with a question word, with its line.

    >>> list(unnamed_in('def size():\n    "How many there are."'))
    [(2, 'How many there are.')]
    >>> list(unnamed_in('def size():\n    "The number of them, whose place is known."'))
    []
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if QUESTION_WORDS.intersection(words_of(first)[:1]):
                yield node.body[0].lineno, first


def problems(path: Path) -> Iterator[str]:
    """Yields what is wrong with a file of the product, as FILE:LINE: what."""
    text, where = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
    parts = [part.removesuffix(".py") for part in where.parts]
    if any(is_forbidden(part) or part in FORBIDDEN_FILES for part in parts):
        yield f"{where}: a better name is in docs/glossary.md"
    for line, name in names_of(text):
        if is_forbidden(name):
            yield f"{where}:{line}: {name}: a better word is in docs/glossary.md"
    for line, first in unnamed_in(text):
        yield f"{where}:{line}: {first!r}: begin with a noun or a verb (docs/house-style.md)"


def files() -> list[Path]:
    """Returns every Python file of the product."""
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def main() -> None:
    """Prints every problem; ends with 1 where there is one."""
    found = [problem for path in files() for problem in problems(path)]
    print("\n".join(found) or f"The words of {len(files())} files are those of the house.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
