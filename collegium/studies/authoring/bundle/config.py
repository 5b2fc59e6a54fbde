"""Configuration of a bundle, read as data: expressions refused, plain references looked up.

Rules:

1. The text is YAML or JSON; every value knows its line. MONAI's own parser has no part in it.
2. ``$...`` in a section that is used is refused, with its line: nothing is evaluated. Sections
   that are not used are not looked at.
3. ``@name`` and ``@section::name`` (or ``#``), as a whole value, stand for that part of the same
   file. Anything else that begins with ``@`` or ``%`` is refused, and so is a circle.
4. Of the keys with a meaning of their own (``_requires_``, ``_mode_``, ...) only ``_target_``,
   ``_desc_`` and ``_disabled_: true`` or ``false`` are data; any other is refused by name.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from protocol.errors import StudyRefused
from protocol.study.documents.yaml_document import child_at, read_tree

_REFERENCE = re.compile(r"@[A-Za-z_]\w*(?:(?:::|#)\w+)*")
_SPECIAL = re.compile(r"_[a-z]+_")
_DATA = ("_target_", "_desc_", "_disabled_")
#: No section of a bundle is larger, once its references stand written out.
_MOST_NODES = 20_000
#: Nor is one nested deeper, its references counted.
_MAX_DEPTH = 100
_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, kw_only=True)
class ConfigSection:
    """A part of a configuration, with its references written out.

    ``path`` is its name in the file, ``tree`` its nodes, which know the lines where they were
    written, and ``value`` what they stand for. ``used`` are the sections that it took part of.
    """

    file: str
    path: str
    tree: Node
    value: Any
    used: frozenset[str] = frozenset()

    def refused(self, what: str, *steps: str | int) -> StudyRefused:
        """Returns an error that names the file, the line and the key of a part."""
        node, key = self.tree, self.path
        line = node.start_mark.line
        for step in steps:
            key += f"[{step}]" if isinstance(step, int) else f".{step}"
            found = child_at(node, step)
            if found is not None:
                line = found[0].start_mark.line
                node = found[1]
        return StudyRefused(f"{self.file}:{line + 1}: {key}: {what}")

    def part(self, *steps: str | int) -> "ConfigSection":
        """Returns a part that is there."""
        node, value, path = self.tree, self.value, self.path
        for step in steps:
            found = child_at(node, step)
            if found is None:
                raise KeyError(step)
            node, value = found[1], value[step]
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
        return ConfigSection(file=self.file, path=path, tree=node, value=value)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration file: its nodes, of which nothing was looked up yet."""

    file: str
    tree: MappingNode

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its sections, in their order."""
        return tuple(str(key.value) for key, _ in self.tree.value)

    def has(self, *steps: str) -> bool:
        """Whether there is such a section, or part of one."""
        node: Node = self.tree
        for step in steps:
            found = child_at(node, step)
            if found is None:
                return False
            node = found[1]
        return True

    def section(self, *steps: str) -> ConfigSection:
        """Returns a section, or a part of one, that is there, with its references written out.

        Raises:
            StudyRefused: it holds an expression, or a reference that cannot be written out.
        """
        looked_up = _References(self.file, self.tree)
        tree = looked_up.written_out(looked_up.found(self.tree, steps), steps, ())
        return ConfigSection(
            file=self.file,
            path=".".join(steps),
            tree=tree,
            value=YAML(typ="safe", pure=True).constructor.construct_document(tree),
            used=frozenset({steps[0], *looked_up.used}),
        )


def read_config(data: bytes, file: str) -> Config:
    """Returns a configuration file.

    Raises:
        StudyRefused: it is no UTF-8, YAML or JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyRefused(f"{file}: cannot be read: it is not UTF-8 text") from error
    if file.endswith(".json"):
        json_value(text, file)
        text = text.replace("\t", " ")  # JSON has tabs between values only; YAML takes none there
    tree, _ = read_tree(text, "bundle's configuration", file, StudyRefused)
    return Config(file=file, tree=tree)


def json_value(text: str, file: str) -> Any:
    """Returns what a JSON text holds.

    Raises:
        StudyRefused: it is none; says the line.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise StudyRefused(f"{file}{line}: no JSON: {error}") from error


class _References:
    """Writes the references of one section out."""

    def __init__(self, file: str, tree: MappingNode) -> None:
        self._file, self._tree, self._left = file, tree, _MOST_NODES
        self._depth = 0
        self._sections = {str(key.value): (key, value) for key, value in reversed(tree.value)}
        self.used: set[str] = set()

    def written_out(self, node: Node, path: Sequence[str | int], opened: tuple[str, ...]) -> Node:
        """Returns a new node, each reference replaced by what it stands for."""
        self._left -= 1
        if self._left < 0:
            raise self._refused(node, path, f"more than {_MOST_NODES} values, written out")
        if self._depth >= _MAX_DEPTH:
            raise self._refused(node, path, f"nested deeper than {_MAX_DEPTH}, written out")
        self._depth += 1
        try:
            return self._inner(node, path, opened)
        finally:
            self._depth -= 1

    def _inner(self, node: Node, path: Sequence[str | int], opened: tuple[str, ...]) -> Node:
        if isinstance(node, MappingNode):
            pairs = []
            for key, value in node.value:
                self._require_data(key, value, [*path, str(key.value)])
                pairs.append((key, self.written_out(value, [*path, str(key.value)], opened)))
            return MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
        if isinstance(node, SequenceNode):
            items = [
                self.written_out(value, [*path, place], opened)
                for place, value in enumerate(node.value)
            ]
            return SequenceNode(node.tag, items, node.start_mark, node.end_mark)
        text = _text(node)
        if text.startswith("$"):
            raise self._refused(node, path, _expression(text))
        if text.startswith("%"):
            raise self._refused(node, path, f"{text!r:.60} takes from another file: write it here")
        return self._referred(node, text, path, opened) if text.startswith("@") else node

    def _require_data(self, key: Node, value: Node, path: Sequence[str | int]) -> None:
        name = str(key.value)
        if name == "_disabled_" and _text(value) not in ("", "true", "false", "True", "False"):
            if not _text(value).startswith(("$", "@")):
                raise self._refused(key, path, "true or false, nothing else")
        elif _SPECIAL.fullmatch(name) and name not in _DATA:
            raise self._refused(key, path, f"{name} has no part in a study: take it out")

    def _referred(
        self, node: Node, text: str, path: Sequence[str | int], opened: tuple[str, ...]
    ) -> Node:
        if not _REFERENCE.fullmatch(text):
            raise self._refused(
                node, path, f"{text!r:.60} is no plain reference (@name, @section::name): write "
                "the value"
            )  # fmt: skip
        if text in opened:
            circle = " -> ".join((*opened[opened.index(text) :], text))
            raise self._refused(node, path, f"refers to itself: {circle}")
        steps = re.split("::|#", text[1:])
        try:
            found = self.found(self._tree, steps)
        except KeyError as error:
            raise self._refused(node, path, f"{text}: the file has no {error} there") from error
        self.used.add(steps[0])
        return self.written_out(found, steps, (*opened, text))

    def found(self, node: Node, steps: Sequence[str]) -> Node:
        """Returns the node at the end of a path; KeyError where a step leads nowhere."""
        for step in steps:
            is_place = isinstance(node, SequenceNode) and step.isascii() and step.isdecimal()
            place = int(step) if is_place else step
            inner = self._sections.get(step) if node is self._tree else child_at(node, place)
            if inner is None:
                raise KeyError(step)
            node = inner[1]
        return node

    def _refused(self, node: Node, path: Sequence[str | int], what: str) -> StudyRefused:
        return StudyRefused(f"{self._file}:{node.start_mark.line + 1}: {_dotted(path)}: {what}")


def _expression(text: str) -> str:
    plain = text[1:].strip()
    if re.match(r"lambda\b", plain):
        return (
            f"{text!r:.60} is a function that the bundle brings (a lambda), and no study runs one: "
            "take what uses it out, and do it where the hospitals' files are made"
        )
    meant = f"write {plain!r}, without the $" if _REFERENCE.fullmatch(plain) else "write the value"
    return f"{text!r:.60} is an expression, and none is evaluated: {meant}"


def _text(node: Node) -> str:
    """Returns a text as it was written; empty for what is none."""
    return str(node.value) if isinstance(node, ScalarNode) and node.tag == _TEXT else ""


def _dotted(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
