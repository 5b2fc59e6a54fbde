"""Verifies a report: that the records give it again, byte for byte, and who signed it.

It says in sentences what was checked and what was not.
"""

import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.reports.added_to_pdf import added_faults
from collegium.reports.person_signature import with_registered
from collegium.reports.request import ReportRequest, report_document
from collegium.reports.signing import SignatureFound, signatures_of
from compliance.reports.basis import Evidenced, ReportRecipe
from compliance.reports.declarations import declarations_of
from compliance.reports.document import Document, claims_of, counts_of
from compliance.reports.renderers import read_recipe, rendered
from compliance.storage.atomic_file import read_named
from protocol.counted import counted
from protocol.errors import FederationError, MessageRefused, StoreBroken, WorkspaceRefused

_MOST = 1 << 28
_META = re.compile(r'<meta name="collegium-report" content="([^"]*)">')
_KEYWORDS = re.compile(rb"<pdf:Keywords>collegium-report, (.*?)</pdf:Keywords>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ReportFile:
    """A report as it lies in a file: its format, its recipe and its bytes."""

    form: str
    recipe: ReportRecipe
    data: bytes


def read_report(data: bytes, name: str) -> ReportFile:
    """Returns the report that a file holds.

    Raises:
        MessageRefused: it holds none, or its recipe was changed.
    """
    try:
        form, text = _form_and_recipe(data)
    except (ValueError, RecursionError) as error:  # nested too deep, or a number of any length
        raise MessageRefused(f"the report {name} cannot be read: it is damaged") from error
    if not text:
        raise MessageRefused(f"the report {name} says of nothing what it was made of: it is none")
    return ReportFile(form=form, recipe=read_recipe(text), data=data)


def _form_and_recipe(data: bytes) -> tuple[str, str]:
    if data.startswith(b"%PDF-"):
        found = _KEYWORDS.search(data)
        return "pdf", html.unescape(found[1].decode("utf-8", "replace")) if found else ""
    text = data.decode("utf-8", "replace")
    if text.startswith("<"):
        page = _META.search(text)
        return "html", html.unescape(page[1]) if page else ""
    if text.startswith("{"):
        return _json_recipe(text)
    line = re.search(r'^document,about,1,recipe,"(.*?)",,,\r?$', text, re.MULTILINE)
    return "csv", line[1].replace('""', '"') if line else ""


def _json_recipe(text: str) -> tuple[str, str]:
    try:
        whole = json.loads(text)
        if "assessment-results" in whole:
            props = whole["assessment-results"]["metadata"]["props"]
            return "oscal", next(one["value"] for one in props if one["name"] == "recipe")
        return "json", json.dumps(whole["recipe"]) if whole.get("recipe") else ""
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return "json", ""


def remade(
    out: Path, found: ReportFile, declarations: Path | None, public: bytes | None
) -> tuple[Document, bytes]:
    """Returns a report made again from a folder, and its bytes.

    Raises:
        WorkspaceRefused: the folder has nothing of what it is about.
    """
    document = report_document(out, ReportRequest.again(found.recipe, declarations), public=public)
    return document, rendered(document, found.form)


def require_declarations(out: Path, found: ReportFile, given: Path | None) -> None:
    """Checks that the declarations are those that a report was made with: no log holds them.

    Raises:
        WorkspaceRefused: they are others.
    """
    wanted = found.recipe.declarations
    if declarations_of(out, given)[1] != wanted:
        raise WorkspaceRefused(
            f"the report was made with the consortium file of SHA-256 {wanted}: give it with "
            "--declarations"
            if wanted
            else "the report was made without a consortium file: move consortium.yaml away"
        )


def is_same(found: ReportFile, again: bytes) -> bool:
    """Whether a file is a report as made again; a signed PDF begins with it, unchanged."""
    if found.form == "pdf":
        return found.data.startswith(again)
    return found.data == again


def verify_report(
    file: Path,
    console: Console,
    *,
    out: Path | None = None,
    declarations: Path | None = None,
    public: bytes | None = None,
    trusted: Sequence[Path] = (),
) -> dict[str, Any]:
    """Checks a report against a folder of runs, and its signatures; returns it for ``--json``.

    Args:
        file: what ``report export`` or ``report sign`` wrote.
        console: where people read what was found.
        out: the folder; without it the records are not checked.
        declarations: the consortium file that the report was made with.
        public: the log's key that is trusted; the folder's own when None.
        trusted: certificates of people that are trusted.

    Raises:
        WorkspaceRefused, MessageRefused: there is no such file or folder, or it is no report.
    """
    found = read_report(read_named(file, "FILE", _MOST), file.name)
    checked: list[str] = []
    faults: list[str] = []
    not_checked: list[str] = []
    again = b""
    if out is None:
        not_checked.append("whether the records give this report: give --out, the folder of runs")
    else:
        again = _check_records(out, found, declarations, public, checked, faults)
        if public is None:
            not_checked.append("whose log it is: the key is the one in the folder; give --key")
    signatures = _check_signatures(found, again, trusted, out, checked, faults, not_checked)
    answer = {
        "verified": not faults and out is not None,
        "signed": bool(signatures),
        "format": found.form,
        "recipe": asdict(found.recipe),
        "signatures": [_signature_json(one) for one in signatures],
        "checked": checked,
        "faults": faults,
        "not_checked": not_checked,
    }
    _tell(file, answer, console)
    return answer


def _check_records(
    out: Path,
    found: ReportFile,
    declarations: Path | None,
    public: bytes | None,
    checked: list[str],
    faults: list[str],
) -> bytes:
    require_declarations(out, found, declarations)
    document, again = remade(out, found, declarations, public)
    if not is_same(found, again):
        faults.append(
            "the report is not the one that these records give: it was changed, something was "
            "logged about its runs since, or another version of collegium made it"
        )
        return b""
    shown = {i for c in claims_of(document) if isinstance(c.basis, Evidenced)
             for i in c.basis.entries}  # fmt: skip
    checked.append(
        f"the records of {out} give this report again, byte for byte: {counts_of(document)}, by "
        f"{len(shown)} entries under the signed head of {found.recipe.until:,} entries"
    )
    faults += [f"{one.text} {one.detail}" for one in document.watermarks]
    return again


def _check_signatures(
    found: ReportFile,
    again: bytes,
    trusted: Sequence[Path],
    out: Path | None,
    checked: list[str],
    faults: list[str],
    not_checked: list[str],
) -> tuple[SignatureFound, ...]:
    if found.form != "pdf":
        not_checked.append("signatures: only a PDF can hold them")
        return ()
    try:
        signatures = signatures_of(found.data, trusted)
    except WorkspaceRefused as error:
        if "pip install" not in str(error):
            raise
        not_checked.append(f"signatures: {error}")
        return ()
    except MessageRefused as error:
        faults.append(str(error))
        return ()
    if out is not None:
        signatures = _looked_up(out, found.data, again, signatures, faults)
    for one in signatures:
        told = not_checked if one.is_nobodys else checked
        (told if one.holds else faults).append(one.sentence)
    if signatures and not any(one.last for one in signatures):
        faults.append("something follows the last signature in the file")
    if again and len(found.data) != len(again):
        if signatures:
            faults += added_faults(again, found.data)
        else:
            faults.append("something follows the report in its file that is no signature")
    return signatures


def _looked_up(
    out: Path,
    data: bytes,
    again: bytes,
    signatures: Sequence[SignatureFound],
    faults: list[str],
) -> tuple[SignatureFound, ...]:
    """Returns signatures with whose registered keys made them; what is wrong is a fault."""
    looked_up, end = [], len(again)
    for one in signatures:
        with_name, fault = with_registered(out, one, data[:end] if end else None)
        looked_up.append(with_name)
        end = one.end
        if fault is not None:
            faults.append(fault)
    return tuple(looked_up)


def _tell(file: Path, answer: dict[str, Any], console: Console) -> None:
    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    recipe = answer["recipe"]
    about = f"{recipe['kind']} about {recipe['scope']} {recipe['name']}"
    line(f"report      {about}, {answer['format']}")
    for text in answer["checked"]:
        line(f"checked     {text}", "green")
    for text in answer["faults"]:
        line(f"FAULT       {text}", "red")
    readable = not any(text.startswith("BROKEN") for text in answer["faults"])
    if answer["format"] == "pdf" and not answer["signed"] and readable:
        line("UNSIGNED    nobody has signed this file: collegium report sign", "yellow")
    for text in answer["not_checked"]:
        line(f"not checked {text}")
    verdict = "verified" if answer["verified"] else "NOT VERIFIED"
    line(f"{verdict}: {file}", "green" if answer["verified"] else "red")


def _signature_json(one: SignatureFound) -> dict[str, Any]:
    """Returns a signature as ``--json`` shows it; its time stands in ``signed_at``."""
    said = asdict(one) | {"sentence": one.sentence}
    return {name: value for name, value in said.items() if name not in ("time", "end")}


def require_verified(answer: dict[str, Any], file: Path) -> None:
    """Refuses a report in which a fault was found, or of which nothing was checked.

    Raises:
        StoreBroken: says how many faults.
        WorkspaceRefused: neither records nor a signature were there to check.
    """
    if answer["faults"]:
        raise StoreBroken(f"{counted(len(answer['faults']), 'fault')}: do not rely on {file}")
    if not answer["checked"]:
        raise WorkspaceRefused(f"nothing of {file} was checked: give --out, the folder of runs")


def check_report(
    path: Path,
    out: Path,
    declarations: Path | None,
    public: bytes,
    runs: Sequence[str],
    add: Callable[[str], None],
) -> str:
    """Checks that a report is the one that a verified folder gives; returns what it is about.

    Args:
        path: a report that ``collegium report export`` wrote.
        out: the folder.
        declarations: the consortium file that the report was made with; the folder's when None.
        public: the log's key.
        runs: the runs of the folder.
        add: takes what is wrong.

    Raises:
        WorkspaceRefused: there is no such file, or the report was made with other declarations.
    """
    data = read_named(path, "--report", _MOST)
    try:
        found = read_report(data, path.name)
    except MessageRefused as error:
        add(str(error))
        return path.name
    scope, name = found.recipe.scope, found.recipe.name
    about = f"{scope} {name}"
    if scope == "run" and name not in runs:
        add(f"the report {path.name} names no run of this folder")
        return about
    require_declarations(out, found, declarations)
    try:
        _, again = remade(out, found, declarations, public)
    except FederationError as error:
        add(f"the report {path.name} cannot be made again: {error}")
        return about
    if not is_same(found, again):
        add(
            f"the report {path.name} is not the one that these records give: it was changed, "
            "made before the run's last change, or by another version of collegium"
        )
    return about
