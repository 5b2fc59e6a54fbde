"""A report's recipe as one line of text, which stands in every rendering, and back."""

import json
from dataclasses import asdict, fields

from compliance.reports.basis import ReportRecipe
from compliance.reports.document import Document
from protocol.errors import MessageRefused


def recipe_text(document: Document) -> str:
    """Returns all that a report was made of as one line of JSON; empty for a page."""
    if document.recipe is None:
        return ""
    return json.dumps(asdict(document.recipe), sort_keys=True, ensure_ascii=True)


def read_recipe(text: str) -> ReportRecipe:
    """Returns the recipe that a line holds.

    Raises:
        MessageRefused: it is none.
    """
    try:
        found = json.loads(text)
        kinds = {"until": int}
        if set(found) == {field.name for field in fields(ReportRecipe)} and all(
            isinstance(value, kinds.get(name, str)) for name, value in found.items()
        ):
            return ReportRecipe(**found)
    except (ValueError, TypeError):
        pass
    raise MessageRefused("the report's recipe cannot be read: it was changed, or is of no report")
