"""A YAML document changed in place: comments, order and quotes of what stays are kept."""

import io
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from protocol.errors import StudyRefused


def edited_text(text: str, change: Callable[[Any], None]) -> str:
    """Returns the text of a document after a change of its tree.

    Args:
        text: the document; it was read as a study before.
        change: changes the tree, of mappings and lists, in place.

    Raises:
        StudyRefused: the text is no YAML.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        document: Any = yaml.load(text)
    except YAMLError as error:
        raise StudyRefused("the study's text cannot be changed in place") from error
    change(document)
    made = io.StringIO()
    yaml.dump(document, made)
    return made.getvalue()
