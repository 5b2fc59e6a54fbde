"""Faults planted into copies of real files: how each is made, and what must be said of it.

``PLANTED`` spoils the bundled records of Cleveland, a copy with a header and a patient key; each
cell that is planted holds ``MARK``, where it can, which nothing that is said may hold.
"""

import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import openpyxl

from tests import ROOT

HEART = ROOT / "collegium" / "studies" / "heart_disease"
MARK = "4711471"
NAMES = (
    "patient age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num part"
).split()
Rows = list[list[str]]
#: Two patients, each in two spellings: the rows and their keys.
SPELLINGS = {8: "Mu\u0308-07", 9: "MÜ7", 20: "A-07", 21: "a7"}

_ORIGINAL = (HEART / "study.yaml").read_text(encoding="utf-8")
_SPLIT = _ORIGINAL[_ORIGINAL.index("split:\n") : _ORIGINAL.index("task:\n")]
STUDY = (
    _ORIGINAL.replace("header: false", "header: true\n  max_records_per_patient: 1")
    .replace("patient_key: row # one row is one patient", "patient_key: patient")
    .replace("on_missing: drop_row", "on_missing: refuse")
    .replace("  allow_one_class: true # Switzerland's training patients are all diseased\n", "")
    .replace("    - {name: age,", "    - {name: patient, kind: other}\n    - {name: age,")
    .replace("    - {name: num, kind: other}", "    - {name: num, kind: other}\n"
             "    - {name: part, kind: other}")
    .replace("patients: 200}", "patients: 250}")
    .replace(_SPLIT, "split: {method: keyed_hash, test_fraction: 0.3}\n\n")
)  # fmt: skip
BY_PART = STUDY.replace(
    "{method: keyed_hash, test_fraction: 0.3}",
    "{method: column, column: part, train: [a], test: [b]}",
)
CLIP = STUDY.replace("scale: 10}", "scale: 10, outside: clip}").replace(
    "scale: 100}", "scale: 100, outside: clip, impute: 200}"
)
DATED = STUDY.replace("{name: part, kind: other}", "{name: part, kind: date}").replace(
    "  kind: table", "  kind: table\n  window: {column: part, since: '2010-01-01'}"
)
YEARS = CLIP.replace("{name: age, kind: number,", "{name: age, kind: number, unit: years,")
GERMAN = STUDY.replace("  kind: table", "  kind: table\n  delimiter: ';'\n  decimal: ','")
DROP = STUDY.replace("on_missing: refuse", "on_missing: drop_row")


def clean() -> Rows:
    """Returns the real records: 303 patients, one row each, in two parts."""
    lines = (HEART / "processed.cleveland.data").read_text(encoding="ascii").splitlines()
    return [
        [f"P{n + 100}", *line.split(","), "ab"[n % 3 == 0]] for n, line in enumerate(lines)
    ]  # fmt: skip


def text(rows: Rows, names: Sequence[str] = NAMES, mark: str = ",") -> str:
    """Returns a CSV file."""
    return "".join(mark.join(line) + "\n" for line in [names, *rows])


def column(name: str, change: Callable[[int, str], str]) -> str:
    """Returns the file with every cell of a column changed, given its row and text."""
    rows, place = clean(), NAMES.index(name)
    for number, row in enumerate(rows):
        row[place] = change(number, row[place])
    return text(rows)


def cell(name: str, written: str, *numbers: int) -> str:
    """Returns the file with some cells of a column replaced; one, where no rows are named."""
    chosen = numbers or (40,)
    return column(name, lambda number, old: written if number in chosen else old)


def without(name: str) -> str:
    """Returns the file without a column."""
    place = NAMES.index(name)
    return text([row[:place] + row[place + 1 :] for row in clean()],
                NAMES[:place] + NAMES[place + 1 :])  # fmt: skip


def _german(changed: str = "") -> str:
    """Returns the file with decimal commas; the cholesterol of one row may be another text."""
    rows = [[one.removesuffix(".0").replace(".", ",") for one in row] for row in clean()]
    if changed:
        rows[40][NAMES.index("chol")] = changed
    return text(rows, mark=";")


def _half_line_ends() -> str:
    first, rest = text(clean()[:100]), text(clean()[100:]).split("\n", 1)[1]
    return first.replace("\n", "\r\n") + rest


def _shifted() -> str:
    rows = clean()
    rows[40] = [rows[40][0], MARK, *rows[40][1:-2], rows[40][-1]]
    return text(rows)


def _workbook() -> bytes:
    workbook, file = openpyxl.Workbook(), io.BytesIO()
    workbook.active.append(NAMES)
    workbook.create_sheet("notes").append([MARK])
    workbook.save(file)
    return file.getvalue()


def _leaked() -> str:
    label = NAMES.index("num")
    rows = clean()
    for row in rows:
        row[NAMES.index("exang")] = str(int(row[label] != "0"))
    return text(rows)


def _few(count: int) -> str:
    return text(clean()[:count])


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A spoilt file, and the names of all that must be said of it; no name else may be said."""

    file: str | bytes | None
    names: frozenset[str]
    study: str = STUDY


def _one(file: str | bytes | None, *names: str, study: str = STUDY) -> Planted:
    return Planted(file=file, names=frozenset(names), study=study)


_TEXT = text(clean())
_HEADLESS = (HEART / "processed.cleveland.data").read_text(encoding="ascii")
_KEY_PER_STAY = STUDY.replace("max_records_per_patient: 1", "max_records_per_patient: 4")
PLANTED: dict[str, Planted] = {
    "no file": _one(None, "no-file"),
    "a gzip archive": _one(gzip.compress(_TEXT.encode()), "another-kind-of-file"),
    "an empty file": _one("", "empty-file"),
    "a header alone": _one(text([]), "no-rows"),
    "UTF-16": _one(_TEXT.encode("utf-16"), "utf-16"),
    "latin-1": _one(cell("patient", f"Mü-{MARK}").encode("latin-1"), "other-encoding"),
    "UTF-8 read as latin-1": _one(
        column("part", lambda _, old: f"Tübingen-{old}"), "utf-8-as-latin-1",
        study=STUDY.replace("  kind: table", "  kind: table\n  encoding: latin-1"),
    ),
    "semicolons and decimal commas": _one(
        _german(), "semicolon"
    ),
    "tabs": _one(text(clean(), mark="\t"), "other-delimiter"),
    "a quote that stays open": _one(cell("part", f'"{MARK}'), "open-quote"),
    "zero bytes": _one(cell("slope", "\0\0\0"), "nul-bytes"),
    "two exports with other line ends": _one(_half_line_ends(), "mixed-line-ends"),
    "no header": _one(_TEXT.split("\n", 1)[1], "no-header"),
    "lines above the header": _one(
        f"Export {MARK}, made by the ward\n\n\"of\nMay\"\n{_TEXT}", "lines-above-header"
    ),
    "a workbook of two sheets": _one(_workbook(), "which-sheet"),
    "a column is missing": _one(without("chol"), "missing-column"),
    "a column stands twice": _one(
        text([[*row, row[1]] for row in clean()], [*NAMES, "age"]), "column-twice"
    ),
    "without header, a column too few": _one(
        "".join(line.rsplit(",", 1)[0] + "\n" for line in _HEADLESS.splitlines()),
        "wrong-number-of-columns", study=_ORIGINAL,
    ),
    "a delimiter in a text": _one(cell("part", f"a,{MARK}"), "uneven-line"),
    "a delimiter at the end of each line": _one(
        _TEXT.replace("\n", ",\n").replace("part,\n", "part\n"),
        "empty-last-column",
    ),
    "a cell too many in each line": _one(
        _TEXT.replace("\n", f",{MARK}\n").replace(f"part,{MARK}\n", "part\n"), "uneven-line"
    ),
    "a cell too many in most lines": _one(
        text([[*row, MARK] if n > 2 else row for n, row in enumerate(clean())]), "uneven-line"
    ),
    "two exports joined with their headers": _one(
        text([*clean()[:150], NAMES, *clean()[150:]]), "header-again"
    ),
    "a line of totals": _one(
        text([*clean(), ["Total", MARK, *[""] * (len(NAMES) - 2)]]), "summary-row"
    ),
    "rows affected": _one(_TEXT + "(303 rows affected)\n", "summary-row"),
    "cells one column too far": _one(_shifted(), "shifted-row"),
    "some rows twice": _one(text(clean() + clean()[:5]), "repeated-rows",
                            study=_KEY_PER_STAY),
    "every row twice": _one(text(clean() * 2), "doubled-rows", study=_KEY_PER_STAY),
    "rows for persons": _one(
        text(clean() + clean()[:12]), "rows-counted-as-persons",
        study=STUDY.replace("patient_key: patient", "patient_key: row"),
    ),
    "a cell is missing": _one(cell("chol", "?"), "missing-cell"),
    "a word for a number": _one(cell("chol", f"x{MARK}"), "text-for-number"),
    "infinity": _one(cell("chol", "inf"), "not-finite"),
    "a number outside": _one(cell("chol", MARK), "outside-range"),
    "an unknown category": _one(cell("cp", MARK), "outside-vocabulary"),
    "a decimal comma": _one(
        column("oldpeak", lambda _, old: f'"{old.replace(".", ",")}"'), "decimal-comma"
    ),
    "a point among decimal commas": _one(
        _german(f"{MARK[:3]}.3"), "decimal-point", study=GERMAN
    ),
    "a point between thousands, with decimal commas": _one(
        _german(f"1.{MARK[:3]}"), "thousands-separator", study=GERMAN
    ),
    "below a limit of detection": _one(
        column("chol", lambda n, old: {5: "< 5", 9: f'"<0,{MARK}"'}.get(n, old)),
        "beyond-detection",
    ),
    "above a limit of detection, with decimal commas": _one(
        _german(f">{MARK},5 mg/dl"), "beyond-detection", study=GERMAN
    ),
    "above a limit of detection that is no age": _one(
        cell("age", ">90", 3, 7), "beyond-detection",
        study=STUDY.replace("{name: age, kind: number,", "{name: age, kind: number, unit: mL/min,"),
    ),
    "thousands separators": _one(cell("chol", f'"1,{MARK[:3]}.50"'), "thousands-separator"),
    "a unit in the cell": _one(column("trestbps", lambda _, old: f"{old} mmHg"), "unit-in-cell"),
    "ages above 89": _one(cell("age", "> 89", 3, 7, 12), "ages-over-89"),
    "a word for missing": _one(cell("chol", "unk"), "unnamed-missing-code"),
    "two codes for missing": _one(
        column("chol", lambda n, old: {5: "-1", 6: "999999", 9: "-9"}.get(n, old)),
        "two-missing-codes", "outside-range",
    ),
    "a number and a word for missing": _one(
        column("chol", lambda n, old: {5: "-1", 6: "unk"}.get(n, old)),
        "two-missing-codes", "outside-range", "unnamed-missing-code",
    ),
    "a date for an age": _one(
        column("age", lambda n, _: f"{1940 + n % 30}-03-0{1 + n % 9}"), "date-for-number"
    ),
    "dates in two orders": _one(
        column("age", lambda n, _: "03/28/1951" if n % 2 else "28/03/1951"),
        "date-for-number", "two-date-orders",
    ),
    "dates in two forms": _one(
        column("part", lambda n, _: "03/28/2020" if n % 3 else f"1{n % 9 + 1}.03.2020"),
        "several-date-forms", study=DATED,
    ),
    "dates in one form that is not the study's": _one(
        column("part", lambda n, _: f"03/{n % 28 + 1:02}/2020"),
        "date-in-another-order", study=DATED,
    ),
    "an Excel date number": _one(cell("age", "18721.0".replace("18721", "28721")),
                                 "excel-date-number"),
    "one number for missing, clipped": _one(
        cell("chol", "9999", 2, 3, 4, 5), "one-number-clipped", study=CLIP
    ),
    "some in another unit, clipped": _one(
        column("age", lambda n, old: str(float(old) * 12) if n % 12 == 0 else old),
        "many-clipped", study=CLIP,
    ),
    "some in a unit that is known, clipped": _one(
        column("age", lambda n, old: str(float(old) * 12) if n % 12 == 0 else old),
        "some-in-another-unit", study=YEARS,
    ),
    "all in another unit, clipped": _one(
        column("age", lambda _, old: str(float(old) * 12)), "wrong-unit", study=CLIP
    ),
    "many cells missing, imputed": _one(
        column("chol", lambda n, old: "" if n % 3 == 0 else old), "many-imputed", study=CLIP
    ),
    "many rows dropped": _one(
        column("chol", lambda n, old: "" if n % 3 == 0 else old), "many-dropped", study=DROP
    ),
    "a constant column": _one(column("fbs", lambda _, __: "1"), "constant-column"),
    "the label in a column": _one(_leaked(), "label-in-a-column"),
    "a label is missing": _one(cell("num", ""), "missing-label"),
    "an unknown label": _one(cell("num", MARK), "unknown-label"),
    "labels missing for many": _one(
        column("num", lambda n, old: "" if n % 5 == 0 else old),
        "label-missing-for-many", "many-dropped", study=DROP,
    ),
    "no patient key": _one(cell("patient", ""), "no-patient-key"),
    "a patient in two spellings": _one(
        column("patient", lambda n, old: SPELLINGS.get(n, old)),
        "two-spellings-of-a-patient",
    ),
    "keys that Excel wrote as numbers": _one(
        column("patient", lambda n, _: "1E+05" if n % 2 else f'"1,0E+{n % 9 + 10}"'),
        "key-without-its-last-digits",
    ),
    "a key that many rows share": _one(
        column("patient", lambda n, old: MARK if n % 15 == 0 else old), "key-of-many-rows"
    ),
    "a key per stay": _one(_TEXT, "row-per-stay", study=_KEY_PER_STAY),
    "one class": _one(column("num", lambda _, __: "0"), "one-class"),
    "three patients": _one(_few(3), "too-few-patients"),
    "ten patients": _one(_few(10), "too-few-patients"),
    "three patients and a faulty cell": _one(
        text([*clean()[:2], ["P1", MARK, *clean()[2][2:]]]), "too-few-patients", "outside-range"
    ),
    "fewer than the policy asks for": _one(
        _few(16), "below-the-policy", "fewer-patients-than-declared",
        study=STUDY.replace("min_patients: 20", "min_patients: 4"),
    ),
    "more than declared": _one(
        _TEXT, "more-patients-than-declared",
        study=STUDY.replace("processed.cleveland.data, patients: 250", "x.csv, patients: 90"),
    ),
    "a key per stay, more than declared": _one(
        _TEXT, "more-patients-than-declared", "row-per-stay",
        study=_KEY_PER_STAY.replace(
            "processed.cleveland.data, patients: 250", "x.csv, patients: 90"
        ),
    ),
    "a key per stay and a cell that is missing": _one(
        cell("chol", "?"), "missing-cell", "row-per-stay", study=_KEY_PER_STAY
    ),
    "far fewer than declared": _one(
        _TEXT, "fewer-patients-than-declared",
        study=STUDY.replace("processed.cleveland.data, patients: 250", "x.csv, patients: 900"),
    ),
    "a patient in both parts": _one(
        column("patient", lambda n, old: "P100" if n == 1 else old), "patient-in-both-parts",
        study=BY_PART.replace("max_records_per_patient: 1", "max_records_per_patient: 4"),
    ),
    "a part without records": _one(
        column("part", lambda _, __: "a"), "split-finds-nobody", study=BY_PART
    ),
    "rows that the split names and nobody has": _one(
        _HEADLESS.rsplit("\n", 11)[0] + "\n", "row-not-in-the-file", study=_ORIGINAL
    ),
}  # fmt: skip


def write(planted: Planted, folder: Path) -> None:
    """Writes a spoilt file, and the split beside it, into a hospital's folder."""
    (folder / "split.csv").write_bytes((HEART / "split.csv").read_bytes())
    if planted.file is not None:
        data = planted.file if isinstance(planted.file, bytes) else planted.file.encode()
        (folder / "cleveland.csv").write_bytes(data)
