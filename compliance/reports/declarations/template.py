"""The template of a consortium file, and its JSON schema, both from the record itself."""

import json

from compliance.reports.declarations.record import Declaration, Declarations

_HEAD = """\
# Declarations of a consortium: what only people know. Every report shows each part as declared by
# this person on this day, and a part that is left out as missing. Remove the # of what you declare.
collegium_consortium: 1
"""
_LISTS = """
# approvals:
#   - hospital: east
#     name: Dr. Ada Moss
#     role: head of cardiology
#     on: "2026-11-02"
# signatories:
#   - name: Dr. Ada Moss
#     role: data protection officer
"""


def parts_of() -> dict[str, str]:
    """Returns every part that can be declared, with what it is about."""
    return {
        name: str(field.description)
        for name, field in Declarations.model_fields.items()
        if field.annotation == Declaration | None
    }


def declarations_template() -> str:
    """Returns a consortium file with every part in it, each left out until somebody declares it."""
    parts = (
        f'\n# {about}\n# {name}:\n#   by: NAME\n#   on: "2026-11-02"\n#   text: TEXT\n'
        for name, about in parts_of().items()
    )
    return _HEAD + "".join(parts) + _LISTS


def declarations_schema() -> str:
    """Returns the JSON schema of a consortium file."""
    return json.dumps(Declarations.model_json_schema(), indent=2, sort_keys=True) + "\n"
