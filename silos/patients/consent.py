"""Patients' consent, by purpose, from statements of whatever source.

Rules:

1. A statement is about a purpose, a phrase that a study's stated purpose must hold, word for
   word (``policy.purposes`` reads it so too), or about ``all`` purposes.
2. It counts until its date, that day included. What has ended counts for nothing.
3. A refusal beats a consent to the same study, whichever was written first: consent that was
   given again stands alone. A refusal of everything but some purposes is none of those.
4. Messages name a line and never what stands in it.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pipelines.records import patient_token
from pipelines.sources.clinical.fhir.consent import PatientConsent, consents_in
from pipelines.sources.clinical.fhir.ndjson import ResourceFolder
from pipelines.sources.clinical.tally import Tally
from protocol.errors import CohortRefused
from silos.config.policy import holds_phrase
from silos.config.site_file import PatientRules, words_of

#: The purpose that stands for every purpose.
ALL = "all"
_COLUMNS = ("patient", "purpose", "consent", "until")
_SAID = {"given": True, "yes": True, "refused": False, "withdrawn": False, "no": False}
_MAX_BYTES = 1 << 30


class Consents(NamedTuple):
    """The patients, by the one spelling of their keys, who gave and who refused consent."""

    given: frozenset[str]
    refused: frozenset[str]


def consents_to(purpose: str, statements: Iterable[PatientConsent], *, today: date) -> Consents:
    """Returns who consented to a study's purpose, and who refused.

    Args:
        purpose: as the study states it.
        statements: of any patients, in any order.
        today: the day that counts.
    """
    said, found = words_of(purpose), {True: set[str](), False: set[str]()}
    about: dict[str, bool] = {}
    for key, purpose, given, until, but in statements:
        for phrase in (purpose, *but):
            if phrase not in about:
                about[phrase] = phrase == ALL or holds_phrase(said, words_of(phrase))
        excepted = any(about[phrase] for phrase in but)
        if about[purpose] and not excepted and (until is None or today <= until):
            found[given].add(patient_token(key))
    return Consents(frozenset(found[True] - found[False]), frozenset(found[False]))


def read_consents(path: Path, rules: PatientRules, *, today: date) -> Iterator[PatientConsent]:
    """Yields the statements in a CSV, or in a folder of FHIR resources.

    Args:
        path: of the file, or of the folder.
        rules: of the site file: how FHIR's patients and purposes are named here.
        today: what begins later does not count yet.

    Raises:
        CohortRefused: it cannot be read, or a line is wrong; says which.
    """
    if not path.is_dir():
        return read_consent_file(path)
    purposes = {code: words.strip().lower() for code, words in rules.purposes.items()}
    return consents_in(
        ResourceFolder(path), Tally(), today=today, identifier=rules.identifier, purposes=purposes
    )


def consent_state(path: Path) -> tuple[tuple[str | int, ...], ...]:
    """Returns what tells that the statements at a path were written anew; nothing if unreadable."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(str(file), file.stat()) for file in files]
    except OSError:
        return ()
    return tuple((name, of.st_ino, of.st_size, of.st_mtime_ns) for name, of in found)


def read_consent_file(path: Path) -> Iterator[PatientConsent]:
    """Yields the statements in a CSV with the columns patient, purpose, consent and until.

    ``purpose`` is one phrase, several with ``|`` between them, or ``all``; ``consent`` is given or
    refused; ``until`` is a date (2027-12-31) or empty. Cells are parted by commas or semicolons.

    Raises:
        CohortRefused: it cannot be read, or a line is wrong; says which.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CohortRefused(f"{path.name}: larger than {_MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CohortRefused(
            f"the file of consents {path.name!r} cannot be read: {reason}; patients.consent in the "
            "site file names it"
        ) from error
    header = text.partition("\n")[0]
    delimiter = ";" if ";" in header else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if tuple(cell.strip().lower() for cell in next(rows, [])) != _COLUMNS:
            raise CohortRefused(f"{path.name}: the header must be {delimiter.join(_COLUMNS)}")
        for cells in rows:
            if cells:
                yield from _statements(cells, f"{path.name}, line {rows.line_num}")
    except csv.Error as error:
        raise CohortRefused(f"{path.name}, line {rows.line_num}: not CSV text") from error


def _statements(cells: list[str], where: str) -> Iterator[PatientConsent]:
    if len(cells) != len(_COLUMNS):
        raise CohortRefused(f"{where}: {len(cells)} cells, expected {len(_COLUMNS)}")
    key, purposes, consent, until = (cell.strip() for cell in cells)
    if not key:
        raise CohortRefused(f"{where}: no patient key")
    given = _SAID.get(consent.lower())
    if given is None:
        raise CohortRefused(f"{where}: consent must be given or refused")
    for purpose in purposes.split("|"):
        phrase = purpose.strip().lower()
        if not words_of(phrase):
            raise CohortRefused(f"{where}: purpose holds no word; write all for every purpose")
        yield PatientConsent(key, phrase, given, _until(until, where))


def _until(text: str, where: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise CohortRefused(f"{where}: until must be a date such as 2027-12-31") from None
