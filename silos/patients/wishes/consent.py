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
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pipelines.records import patient_token
from pipelines.sources.clinical.fhir.consent import EVERY_PURPOSE, PatientConsent, consents_in
from pipelines.sources.clinical.fhir.ndjson import ResourceFolder
from pipelines.sources.clinical.tally import Tally
from pipelines.sources.faults import RecordFault, refused_file
from protocol.errors import CohortRefused
from silos.config.policy import holds_phrase
from silos.config.site_file import PatientRules, words_of

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
                about[phrase] = phrase == EVERY_PURPOSE or holds_phrase(said, words_of(phrase))
        excepted = any(about[phrase] for phrase in but)
        if about[purpose] and not excepted and (until is None or today <= until):
            found[given].add(patient_token(key))
    return Consents(frozenset(found[True] - found[False]), frozenset(found[False]))


def read_consents(
    path: Path, rules: PatientRules, tally: Tally, *, today: date
) -> Iterator[PatientConsent]:
    """Yields the statements in a CSV, or in a folder of FHIR resources.

    Args:
        path: of the file, or of the folder.
        rules: of the site file: how FHIR's patients and purposes are named here.
        tally: counts what says nothing, and why.
        today: what begins later does not count yet.

    Raises:
        CohortRefused: it cannot be read, or a line is wrong; says which.
    """
    if not path.is_dir():
        return read_consent_file(path)
    purposes = {code: words.strip().lower() for code, words in rules.purposes.items()}
    return consents_in(
        ResourceFolder(path), tally, today=today, identifier=rules.identifier, purposes=purposes
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
        CohortRefused: it cannot be read, or lines are wrong: at its end, every fault with its first
            line and how many more.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _refused(path, f"larger than {_MAX_BYTES} bytes", "leave out what has ended")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path, "other-encoding", "it is not UTF-8 text") from error
    except OSError as error:
        raise _unreadable(path, "no-file", f"{error.strerror}") from error
    header = text.partition("\n")[0]
    delimiter = ";" if ";" in header else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    wrong: dict[str, list[int]] = {}
    try:
        if tuple(cell.strip().lower() for cell in next(rows, [])) != _COLUMNS:
            what = f"the header must be {delimiter.join(_COLUMNS)}"
            raise _refused(path, what, "write it as the first line", lines=[1])
        for cells in filter(None, rows):
            found = _statements(cells)
            if isinstance(found, str):
                wrong.setdefault(found, []).append(rows.line_num)
            else:
                yield from found
    except csv.Error as error:
        raise _refused(
            path, "not CSV text", "close the quote, or double it in a cell", lines=[rows.line_num]
        ) from error
    faults = [
        RecordFault(name=_NAME, source=path.name, lines=lines, what=what, remedy=_MEND)
        for what, lines in wrong.items()
    ]
    if faults:
        raise CohortRefused("\n".join(map(str, faults)), faults)


def _statements(cells: Sequence[str]) -> list[PatientConsent] | str:
    """Returns the statements of a line, or what is wrong with it."""
    if len(cells) != len(_COLUMNS):
        return f"{len(cells)} cells, expected {len(_COLUMNS)}"
    key, purposes, consent, until = (cell.strip() for cell in cells)
    if not key:
        return "no patient key"
    given = _SAID.get(consent.lower())
    if given is None:
        return "consent must be given or refused"
    phrases = [purpose.strip().lower() for purpose in purposes.split("|")]
    if not all(map(words_of, phrases)):
        return "purpose holds no word; write all for every purpose"
    try:
        day = date.fromisoformat(until) if until else None
    except ValueError:
        return "until must be a date such as 2027-12-31"
    return [PatientConsent(key, phrase, given, day) for phrase in phrases]


def _refused(path: Path, what: str, remedy: str, lines: Sequence[int] = ()) -> CohortRefused:
    return refused_file(path.name, _NAME, what, remedy, lines=lines)


def _unreadable(path: Path, name: str, reason: str) -> CohortRefused:
    return refused_file(
        "",
        name,
        f"the file of consents {path.name!r} cannot be read: {reason}",
        "patients.consent in the site file names it, from whose own folder it is taken",
    )


_NAME = "consent-line"
_MEND = "mend the lines; until then no record is read, for nobody knows what they say"
