"""Reads a document that people write: YAML 1.2 text in, a frozen record out, or the line at fault.

Why YAML 1.2 through ruamel: YAML 1.1 turns the country ``NO`` into false,
``1e-5`` into text and ``12:30`` into a number, and keeps the last of two equal
keys without a word. A document says everything where it stands: directives,
tags, anchors and merge keys are refused, and so is everything that has no
canonical form to be signed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, Event
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import Parser
from ruamel.yaml.scanner import Scanner

from protocol.errors import FederationError
from protocol.study.documents.yaml_faults import yaml_problem
from protocol.study.study import NAME, nearest

#: A document is a page or two; anything larger is none.
MAX_BYTES = 1 << 20
#: The type of a problem (``PydanticCustomError``) whose value is not repeated in the refusal.
NOT_SHOWN = "not_shown"
_MAX_SHOWN = 4
_MAX_DEPTH = 20
_DATE = "tag:yaml.org,2002:timestamp"
_DISCRIMINATORS = frozenset({"kind", "rule", "method", "name", "mode", "strategy", "_target_"})

#: How a refusal begins that names a key.
_KEY = re.compile(r"(\w+(?:\.\w+)*): ")

R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class DocumentForm(Generic[R]):
    """A kind of YAML document: its record, its noun in messages, and the error that refuses it.

    ``max_bytes`` is more than any of its kind has: a text that is larger is not parsed.
    ``found_by`` says of keys, by their whole names, how to find the value of one that is missing.
    """

    record: type[R]
    noun: str
    refusal: type[FederationError]
    see: str
    max_bytes: int = MAX_BYTES
    found_by: Mapping[str, str] = field(default_factory=dict)


def read_document(text: str, form: DocumentForm[R], source: str) -> R:
    """Returns the record written in ``text``.

    Args:
        text: a YAML 1.2 document.
        form: what is expected.
        source: what to call it in messages, for example the file's name.

    Raises:
        FederationError: the form's refusal: one line per problem, each
            ``source:line: key: what is wrong``; at most four of them, and how
            many more there are.
    """
    try:
        return _read(text, form, source)
    except _Problem as problem:
        raise form.refusal(str(problem)) from problem.__cause__


def read_tree(
    text: str, noun: str, source: str, refusal: type[FederationError]
) -> tuple[MappingNode, dict[str, Any]]:
    """Returns a document's nodes, which know their lines and columns, and its value, unchecked.

    Nothing in it is evaluated or looked up: a text that begins with ``$`` or ``@`` is a text.

    Raises:
        FederationError: the refusal; it is no plain YAML, or not lines of ``key: value``.
    """
    try:
        return _tree(text, noun, source, "docs/study.md")
    except _Problem as problem:
        raise refusal(str(problem)) from problem.__cause__


def with_lines(text: str, source: str, message: str) -> str:
    """Returns a refusal of a document that was read, with the line of the key it begins with.

    A line that begins with no key of the document stays as it is. Of a key that the document
    leaves out it is the line of the deepest one above it that is written.

    Args:
        text: the document.
        source: what it is called.
        message: one line for each fault.
    """
    tree, _ = _parsed(text, "document", source)
    told = []
    for line in message.split("\n"):
        found = _KEY.match(line)
        steps = found[1].split(".") if found else []
        path = [int(step) if step.isdigit() else step for step in steps]
        known = bool(path) and isinstance(tree, MappingNode) and child_at(tree, path[0])
        told.append(f"{source}:{_line_of(tree, path)}: {line}" if known else line)
    return "\n".join(told)


class _Problem(Exception):
    """A fault of a document, in the words of its error message."""


def _read(text: str, form: DocumentForm[R], source: str) -> R:
    tree, value = _tree(text, form.noun, source, form.see, form.max_bytes)
    for path in _without_form(value, []):
        line = _line_of(tree, path)
        raise _Problem(f"{source}:{line}: {_named(path)}too large a number, or text of no form")
    try:
        return form.record.model_validate(value)
    except ValidationError as error:
        keys = sorted({key for m in _models(form.record, {}).values() for key in m.model_fields})
        found = faults(source, tree, keys, error, found_by=form.found_by)
        raise _Problem("\n".join(found)) from error


def _tree(
    text: str, noun: str, source: str, see: str, max_bytes: int = MAX_BYTES
) -> tuple[MappingNode, dict[str, Any]]:
    if len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise _Problem(f"{source}: larger than {max_bytes} bytes, so not a {noun}")
    try:
        tree, value = _parsed(text, noun, source)
    except (YAMLError, ValueError, RecursionError) as error:
        raise _Problem(yaml_problem(source, text, error)) from error
    if not isinstance(value, dict) or not isinstance(tree, MappingNode):
        raise _Problem(f"{source}:1: a {noun} is lines of 'key: value', see {see}")
    return tree, value


@lru_cache(maxsize=32)  # ruamel is slow, and a list of runs reads the same few studies again
def _parsed(text: str, noun: str, source: str) -> tuple[Node, Any]:
    """Returns a document's nodes, which know their lines, and its value; neither is changed."""
    yaml = _yaml(source, noun)
    tree = yaml.compose(text)
    _require_plain_keys(source, tree)
    return tree, tree and yaml.constructor.construct_document(tree)


def _yaml(source: str, noun: str) -> YAML:
    """Returns a reader that refuses whatever is not plain, or too deep, as soon as it is read."""

    class ShallowScanner(Scanner):
        def fetch_more_tokens(self) -> Any:
            super().fetch_more_tokens()
            if len(self.indents) + self.flow_level > _MAX_DEPTH:
                line = self.reader.line + 1
                raise _Problem(
                    f"{source}:{line}: brackets or indented lines lie deeper within each other "
                    f"than anything of a {noun}: {_MAX_DEPTH} at most"
                )

    class PlainParser(Parser):
        def get_event(self) -> Any:
            event = super().get_event()
            _require_plain(source, noun, event)
            return event

    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner, yaml.Parser = ShallowScanner, PlainParser
    return yaml


def _require_plain(source: str, noun: str, event: Event) -> None:
    directive = isinstance(event, DocumentStartEvent) and (event.version or event.tags)
    anchor = isinstance(event, AliasEvent) or getattr(event, "anchor", None)
    tag = getattr(event, "ctag", None)
    what = "directives" if directive else "anchors and aliases" if anchor else "tags" if tag else ""
    if what:
        line = event.start_mark.line + 1
        raise _Problem(
            f"{source}:{line}: a {noun} has no {what} (what begins with %, & or *, !): write it "
            "out; a text that begins so is put in quotes"
        )


def _require_plain_keys(source: str, tree: Node | None, depth: int = 0) -> None:
    """Keys are text, nothing is merged or a date, nothing lies deeper than any study needs."""
    children: list[Node] = []
    if isinstance(tree, MappingNode):
        for key, child in tree.value:
            if not isinstance(key, ScalarNode) or key.value == "<<" or depth > _MAX_DEPTH:
                line = key.start_mark.line + 1
                raise _Problem(f"{source}:{line}: a key is a plain word")
            children.append(child)
    elif isinstance(tree, SequenceNode):
        children += tree.value
    elif tree is not None and tree.tag == _DATE:
        line = tree.start_mark.line + 1
        raise _Problem(f"{source}:{line}: a date is a text here: put {tree.value!r} in quotes")
    for child in children:
        _require_plain_keys(source, child, depth + 1)


def _without_form(value: Any, path: list[str | int]) -> Iterator[list[str | int]]:
    """Yields the paths of values that canonical JSON cannot write."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _without_form(key, path)
            yield from _without_form(child, [*path, str(key)])
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from _without_form(child, [*path, place])
    elif isinstance(value, int) and abs(value) >= 2**53:
        yield path
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        yield path


def faults(
    source: str,
    tree: Node,
    keys: list[str],
    error: ValidationError,
    within: str = "",
    found_by: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Yields what a record says against a tree of nodes: one line for each of up to four faults.

    Args:
        source: what the document is called.
        tree: the nodes whose value was validated.
        keys: every key that may have been meant by an unknown one.
        error: what the record says.
        within: the key under which the tree stands, where it is a part of a document.
        found_by: as in ``DocumentForm``.
    """
    place = [within] if within else []
    problems = [problem for problem in error.errors(include_url=False) if _is_own(problem, error)]
    for problem in problems[:_MAX_SHOWN]:
        path = _written_path(tree, problem)
        said, named = _said(problem, keys, path), _named([*place, *path])
        if problem["type"] == "missing" and (how := found_by.get(named.removesuffix(": "))):
            said += f": {how}"
        yield f"{source}:{_line_of(tree, path)}: {named}{said}"
    if len(problems) > _MAX_SHOWN:
        yield f"{source}: and {len(problems) - _MAX_SHOWN} more"


def _is_own(problem: Any, error: ValidationError) -> bool:
    """Returns whether a problem is none that another causes: pydantic counts valid items alone."""
    place = problem["loc"]
    return problem["type"] != "too_short" or not any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place
        for other in error.errors(include_url=False)
    )


def _written_path(tree: Node, problem: Any) -> list[str | int]:
    """Returns the keys as the person wrote them: without pydantic's union tags."""
    if problem["type"] == "study":
        steps = problem["ctx"]["path"].split(".")
        return [int(step) if step.isdigit() else step for step in steps]
    path: list[str | int] = []
    node: Node | None = tree
    steps = problem["loc"]
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        if isinstance(node, MappingNode):
            known = child_at(node, step)
            if (_is_tag(node, step) and not (last and known)) or not (last or known):
                continue  # also the tag of a kind that is meant where none is written
            path.append(step)
        elif isinstance(node, SequenceNode) and isinstance(step, int):
            path.append(step)
        else:  # below a plain value there are only the names of the types it could have been
            break
        found = child_at(node, step)
        node = found[1] if found else None
    return path


def _is_tag(node: MappingNode, step: str | int) -> bool:
    return any(key.value in _DISCRIMINATORS and value.value == step for key, value in node.value)


def _named(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return f"{text}: " if text else ""


def _said(problem: Any, keys: list[str], path: Sequence[str | int]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(problem["loc"][-1])
        meant = nearest(key, keys)
        if key not in keys:
            return f"unknown key{meant}"
        tag = problem["loc"][-2] if len(problem["loc"]) > 1 else None  # on no path: it is a value
        of = f": {tag} has no such key" if isinstance(tag, str) and tag not in path else ""
        return f"this key does not belong here{of}"
    if kind == "invalid_key":
        key = problem["loc"][-1]
        return f"a key is a text: put {key} in quotes; a decimal point is written as '.'"
    if kind == "missing":
        return "this key is required and missing"
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is required, one of the documented kinds"
    if kind == "union_tag_invalid":
        known, key = context["expected_tags"], context["discriminator"].rpartition(" | ")[2]
        return f"{key} is {context['tag']!r}, not one of {known}"
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME:
        return (
            f"a name has lower-case letters, digits, '.', '_' and '-', got {problem['input']!r:.60}"
        )
    message: str = problem["msg"].removeprefix("Value error, ").partition(", unable to parse")[0]
    message = message[0].lower() + message[1:]
    given = problem["input"]
    if kind == NOT_SHOWN or (isinstance(given, str) and "://" in given and "@" in given):
        return message  # an address may hold a password
    if isinstance(given, str | int | float | bool) or given is None:
        message += f", got {given!r:.60}"
    return message


def _line_of(tree: Node, path: Sequence[str | int]) -> int:
    """Returns the line of the deepest node on the path that exists (1-based)."""
    node, line = tree, tree.start_mark.line
    for step in path:
        found = child_at(node, step)
        if found is None:
            break
        key, node = found
        line = (key if isinstance(step, str) else node).start_mark.line
    return int(line) + 1


def child_at(node: Node, step: str | int) -> tuple[Node, Node] | None:
    """Returns the node that has a part's line, and the part's own; None where there is none."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if str(key.value) == str(step):
                return key, value
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _models(model: type[BaseModel], seen: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    if model.__name__ in seen:
        return seen
    seen[model.__name__] = model
    for declared in model.model_fields.values():
        for part in _parts(declared.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                _models(part, seen)
    return seen


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)
