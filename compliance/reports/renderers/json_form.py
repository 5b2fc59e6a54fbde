"""Draws a document as JSON: whole numbers, and the basis of every statement.

The schema is published: ``docs/report.schema.json``.
"""

import json
import math
from dataclasses import asdict
from typing import Any

from compliance.estimates.interval import Interval
from compliance.facts.formatting import Cell
from compliance.reports.basis import Basis, Claims, ControlResult, Declared, Evidenced, ReportClaim
from compliance.reports.document import (
    Block,
    Bullets,
    Commands,
    Document,
    Facts,
    Figure,
    Highlights,
    Listing,
    Paragraph,
    Pictures,
    Section,
    Signatures,
    Table,
    counts_of,
)

#: The name of the JSON form, which stands in it.
SCHEMA = "collegium/document/1"


def render_json(document: Document) -> str:
    """Returns the document as JSON with sorted keys; a figure is given by its numbers and words.

    Numbers are whole, not rounded for reading; one without bound is the text ``"inf"``.
    """
    whole: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": document.kind,
        "title": document.title,
        "subtitle": document.subtitle,
        "banner": [
            {"text": s.text, "detail": s.detail, "tone": s.tone.value} for s in document.banner
        ],
        "sections": [_section_json(section) for section in document.sections],
        "footer": list(document.footer),
    }
    whole |= _report_json(document) if document.is_report else {}
    return json.dumps(whole, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _section_json(section: Section) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "blocks": [_block_json(block) for block in section.blocks],
    }


def _block_json(block: Block) -> dict[str, Any]:
    content: dict[str, Any] = {"type": type(block).__name__.lower()}
    match block:
        case Paragraph():
            content["text"] = block.text
        case Bullets():
            content["items"] = [{"about": about, "text": text} for about, text in block.items]
        case Commands():
            content["lines"] = [{"command": line, "does": does} for line, does in block.lines]
        case Highlights():
            content["items"] = [
                {"label": i.label, "value": _value_json(i.value), "note": i.note}
                for i in block.items
            ]
        case Facts():
            content["title"] = block.title
            content["rows"] = {row.label: _value_json(row.value) for row in block.rows}
        case Table():
            content |= _table_json(block)
        case Figure():
            content |= {"title": block.title, "alt": block.alt, "caption": block.caption}
            content["table"] = _table_json(block.table)
        case Pictures():
            content |= {"title": block.title, "caption": block.caption}
            content["pictures"] = len(block.pictures)
        case Claims():
            content["title"] = block.title
            content["items"] = [_claim_json(claim) for claim in block.items]
        case Listing():
            content |= {"title": block.title, "heading": block.heading}
            content["lines"] = list(block.lines)
        case Signatures():
            content["title"] = block.title
            content["places"] = [asdict(place) for place in block.places]
    return content


def _table_json(table: Table) -> dict[str, Any]:
    titles = [column.title for column in table.columns]
    return {
        "title": table.title,
        "note": table.note,
        "columns": titles,
        "rows": [[_value_json(cell) for cell in row] for row in table.rows],
    }


def _value_json(value: Cell) -> Any:
    if isinstance(value, Interval):
        return {name: _value_json(part) for name, part in asdict(value).items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _report_json(document: Document) -> dict[str, Any]:
    """Returns what a report has more than a page: its counts, controls and recipe."""
    return {
        "dated": document.dated,
        "counts": asdict(counts_of(document)),
        "controls": [_control_json(control) for control in document.controls],
        "recipe": asdict(document.recipe) if document.recipe else None,
    }


def _control_json(control: ControlResult) -> dict[str, Any]:
    return asdict(control) | {"state": control.state.value, "entries": list(control.entries)}


def _claim_json(claim: ReportClaim) -> dict[str, Any]:
    return {"topic": claim.topic, "text": claim.text, "basis": basis_json(claim.basis)}


def basis_json(basis: Basis) -> dict[str, Any]:
    """Returns a basis with its kind."""
    match basis:
        case Evidenced():
            return {"kind": "evidenced", "entries": list(basis.entries)}
        case Declared():
            return {"kind": "declared", "by": basis.by, "on": basis.on}
        case _:
            return {"kind": "missing", "why": basis.why, "remedy": basis.remedy}
