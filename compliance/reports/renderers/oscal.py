"""Draws a report as OSCAL assessment results (NIST, version 1.2.1): JSON for other tools.

A statement that is evidenced is an observation; a control is a finding, ``satisfied`` where the
log shows it and ``not-satisfied`` where it does not. Identifiers follow from what they name.
"""

import json
import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid5

from compliance.reports.basis import ControlResult, ControlState, Declared, Evidenced, basis_text
from compliance.reports.document import Document, claims_of
from compliance.reports.renderers.recipe_text import recipe_text
from protocol.errors import WorkspaceRefused

VERSION = "1.2.1"
#: The name space in which identifiers are made: drawn once.
_SPACE = UUID("6d4bd5c5-5d77-5a0a-9d5e-7f3f1c8f0e11")
_NAMESPACE = "https://collegium.example/ns/oscal"


def render_oscal(document: Document) -> str:
    """Returns a report as OSCAL assessment results; the same report gives the same text.

    Raises:
        WorkspaceRefused: the document is no report, or maps to no control.
    """
    if document.recipe is None or not document.controls:
        raise WorkspaceRefused(
            "only a report that maps to controls has assessment results: give another --format"
        )
    made_of = recipe_text(document)
    mapped = [one for one in document.controls if one.state is not ControlState.NOT_APPLICABLE]
    observations = _observations(document, made_of)
    results: dict[str, Any] = {
        "uuid": _uuid(made_of, "results"),
        "title": _line(document.title),
        "description": " ".join(_said(document)),
        "start": document.dated,
        "end": document.dated,
        "reviewed-controls": {
            "control-selections": [
                {
                    "description": "Controls of the texts that the report maps to.",
                    "include-controls": [{"control-id": _token(one)} for one in document.controls],
                }
            ]
        },
    }
    if observations:
        results["observations"] = observations
    if mapped:
        results["findings"] = [_finding(one, made_of, document) for one in mapped]
    whole = {
        "assessment-results": {
            "uuid": _uuid(made_of, "document"),
            "metadata": {
                "title": _line(f"{document.title}: {document.subtitle}"),
                "last-modified": document.dated,
                "version": document.recipe.version or "unknown",
                "oscal-version": VERSION,
                "props": [_prop("recipe", made_of)],
                "remarks": " ".join(document.footer),
            },
            "import-ap": {
                "href": "#collegium-controls",
                "remarks": "The controls are those that the software maps to, by text and date; "
                "there is no other assessment plan.",
            },
            "results": [results],
        }
    }
    return json.dumps(whole, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _said(document: Document) -> Iterable[str]:
    for statement in document.banner:
        yield statement.text
        if statement.detail:
            yield statement.detail


def _observations(document: Document, made_of: str) -> list[dict[str, Any]]:
    found = []
    for number, claim in enumerate(claims_of(document)):
        if not isinstance(claim.basis, Evidenced | Declared):
            continue
        is_evidenced = isinstance(claim.basis, Evidenced)
        found.append(
            {
                "uuid": _uuid(made_of, f"observation {number}"),
                "title": _line(claim.topic),
                "description": claim.text,
                "methods": ["EXAMINE" if is_evidenced else "INTERVIEW"],
                "collected": document.dated,
                "relevant-evidence": [{"description": basis_text(claim.basis)}],
            }
        )
    return found


def _finding(control: ControlResult, made_of: str, document: Document) -> dict[str, Any]:
    satisfied = control.state is ControlState.EVIDENCED
    entries = f" Log entries: {', '.join(map(str, control.entries[:50]))}." if satisfied else ""
    return {
        "uuid": _uuid(made_of, f"finding {control.text} {control.control}"),
        "title": _line(f"{control.text}, {control.control}"),
        "description": f"{control.asks} {control.said}{entries}".strip(),
        "target": {
            "type": "objective-id",
            "target-id": f"{_token(control)}_obj",
            "status": {
                "state": "satisfied" if satisfied else "not-satisfied",
                "reason": "pass" if satisfied else "fail",
                "remarks": f"{control.state.value}: the log {'shows' if satisfied else 'lacks'} "
                "it. A report supports a review; it certifies nothing.",
            },
        },
    }


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": _NAMESPACE, "value": value}


def _token(control: ControlResult) -> str:
    """Returns a control's name as OSCAL wants tokens: letters, digits, dots, hyphens."""
    plain = re.sub(r"[^a-z0-9.]+", "-", f"{control.text} {control.control}".lower()).strip("-.")
    return plain if plain[:1].isalpha() else f"c-{plain}"


def _line(text: str) -> str:
    return " ".join(text.split()) or "untitled"


def _uuid(made_of: str, name: str) -> str:
    return str(uuid5(_SPACE, f"{made_of}\n{name}"))
