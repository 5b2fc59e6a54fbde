"""The catalogue of faults that records may have: each has a short name, which stays the same.

Rules:

1. One entry for each name; ``docs/data-faults.md`` holds the same, made from here.
2. ``bad`` is what a run refuses, or what its people must not approve; ``warn`` may be right.
3. An entry says what the fault is, how it is found and what to do; never a patient's value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["bad", "warn"]

#: Where each name is explained.
PAGE = "docs/data-faults.md"


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """A kind of fault: its name, what it is, how it is found, and the remedy."""

    name: str
    group: str
    state: State
    what: str
    found: str
    remedy: str


_Entry: TypeAlias = tuple[str, State, str, str, str]

_FILES: tuple[_Entry, ...] = (
    ("no-file", "bad", "the file of records is not there, or may not be read",
     "it is opened", "mend `data.path` in the site file, or the file's permissions"),
    ("another-kind-of-file", "bad", "a workbook, an archive or a database that is called CSV",
     "by its first bytes", "export it as CSV in UTF-8, or unpack it"),
    ("damaged-file", "bad", "a workbook, Parquet or compressed file that is cut off, damaged, "
     "protected or too large", "it is opened", "what the message says: save or write it again"),
    ("which-sheet", "bad", "a workbook has several sheets, or not the one that the site file names",
     "its visible sheets are counted", "`sheet: NAME` under `data` in the site file"),
    ("database-not-reached", "bad", "the database is not there, lets nobody in, or went away",
     "it is connected to; its own words are never told", "what the message says, by SQLSTATE"),
    ("query-failed", "bad", "the query is refused, or fails on its way; nothing of it is taken",
     "it is run for reading only; rows so far are counted, the database's own words never told",
     "what the message says, by SQLSTATE"),
    ("query-too-large", "bad", "the query gives more rows, or takes longer, than the site file "
     "allows", "rows and seconds are counted", "select fewer, or `data.rows`, `data.seconds`"),
    ("empty-file", "bad", "the file holds no line", "it is read", "export it again"),
    ("no-rows", "bad", "a header without a record, or a contract that drops every row",
     "records are counted", "mend the export, or what is missing in it"),
    ("utf-16", "bad", "text of two bytes a letter, as Excel's \"Unicode text\"",
     "by its byte order mark, or by zeros in every second byte", "save the file as CSV in UTF-8"),
    ("other-encoding", "bad", "letters in another encoding than the study says",
     "bytes that are no such text; the other encodings are tried on the file's beginning",
     "the line for the site file that the message gives, `encoding: latin-1`"),
    ("utf-8-as-latin-1", "warn", "UTF-8 text that is read as latin-1: letters beyond ASCII become "
     "two others each", "the bytes are UTF-8, and some letters have several",
     "`encoding: utf-8` in the site file"),
    ("semicolon", "bad", "semicolons between the cells where the study says another mark",
     "the delimiters are tried on the file's beginning: with which one are the study's columns "
     "there; of OMOP's tables with which the header has more", "`delimiter: \";\"` in the site "
     "file, and `decimal: \",\"` if the message says so; OMOP's tables are exported again"),
    ("other-delimiter", "bad", "a tab, comma or bar between the cells", "as `semicolon`",
     "the line for the site file that the message gives"),
    ("open-quote", "bad", "a quote that is opened and never closed, or a cell longer than 131,072 "
     "letters", "the reader meets the end of the file within a cell",
     "close the quote, or export with quotes doubled inside cells"),
    ("nul-bytes", "warn", "zero bytes in the text, as a damaged disk or a fixed-width export "
     "leaves",
     "zero bytes are counted", "export the file again"),
    ("mixed-line-ends", "warn", "some lines end in CR LF and some in LF: two exports joined, or a "
     "file edited by hand", "both are counted", "was the file joined or edited? Export it in one"),
    ("no-header", "bad", "the first line names none of the study's columns", "names are compared",
     "export with column names, or ask for `header: false` in the study"),
    ("lines-above-header", "bad", "the first line names none of the study's columns, and one "
     "below it does", "names are compared, in the first 50 lines",
     "delete the lines above the one that the message gives"),
    ("missing-column", "bad", "a column that the study needs is not there",
     "names are compared; a similar one is suggested", "export it, or mend its name"),
    ("column-twice", "bad", "two columns have one name", "names are compared", "keep one"),
    ("wrong-number-of-columns", "bad", "a file without header has more or fewer columns than the "
     "study declares", "cells of the first line are counted",
     "export the columns that the study declares, in its order"),
)  # fmt: skip

_LINES: tuple[_Entry, ...] = (
    ("uneven-line", "bad", "a line has more or fewer cells than the header", "cells are counted",
     "mend the line, or put a cell that holds the delimiter in quotes"),
    ("empty-last-column", "bad", "every line ends in one delimiter too many",
     "one cell too many in each line, and it is empty", "export without the mark at the end of a "
     "line, or name the column in the header"),
    ("header-again", "bad", "the header stands a second time: two exports joined",
     "a line whose cells are the columns' names", "delete the line, and see that no patient is in "
     "both exports"),
    ("summary-row", "bad", "a line of totals, or \"rows affected\", below the records",
     "a line of which most needed cells are empty and one says total, sum, mean or rows",
     "delete the line"),
    ("shifted-row", "bad", "a line whose cells stand one column too far",
     "most cells of one line do not fit, in columns that fit in nearly all lines", "mend the line: "
     "often a delimiter in an unquoted text"),
    ("repeated-rows", "warn", "some rows are equal to another in every cell",
     "every row's cells are compared", "write each record once, or add a column that tells them "
     "apart, which the study does not read"),
    ("doubled-rows", "bad", "more than half of the rows stand twice: a file joined to itself",
     "every row's cells are compared", "write each record once"),
    ("rows-counted-as-persons", "warn", "rows are equal where the study takes each row for "
     "a patient",
     "every row's cells are compared", "if two are one patient's, write one: each is protected "
     "half as well otherwise"),
)  # fmt: skip

_CELLS: tuple[_Entry, ...] = (
    ("missing-cell", "bad", "a cell is missing that the study neither imputes nor drops",
     "the study's codes for missing", "fill it, or in the study `impute: VALUE` for the column, or "
     "`on_missing: drop_row`"),
    ("text-for-number", "bad", "text where a number was expected", "it is no numeral",
     "mend the cell, or in the study `replace: {TEXT: NUMBER}`, or `missing: [TEXT]`"),
    ("not-finite", "bad", "an infinite number, or not a number", "it is read",
     "mend the cell, or in the study `missing: [TEXT]`"),
    ("outside-range", "bad", "a number outside the study's range", "it is compared with the range",
     "mend the cell, or in the study a wider range or `outside: clip`"),
    ("outside-vocabulary", "bad", "a value that the study does not list", "it is compared",
     "mend the cell, or ask for the value to be listed"),
    ("cell-of-another-type", "bad", "bytes, lists or the like where a cell was expected",
     "by its type", "write it as a number, text or date"),
    ("long-cell", "bad", "a text of more than 131,072 letters", "letters are counted",
     "close the quote, or leave the column out"),
    ("excel-error", "bad", "a cell holds an error of Excel's, or a formula that was never computed",
     "by what the workbook stores", "mend the formula, or open and save the workbook in Excel"),
    ("merged-cells", "bad", "cells are merged, so that all but the first are empty",
     "by what the workbook stores", "unmerge them, and write the value into each"),
    ("dates-among-numbers", "bad", "dates and numbers in one column of a workbook",
     "by the types of its cells", "format the whole column as one, and write those cells again"),
    ("unknown-unit", "bad", "the site file names a unit that the study does not convert",
     "names are compared", "convert the column, or ask the study's author to name the unit"),
    ("decimal-comma", "bad", "a comma before the tenths", "a numeral once the comma is a point",
     "`decimal: \",\"` in the site file, where the whole file has them"),
    ("decimal-point", "bad", "a point before the tenths, in a file with decimal commas",
     "a numeral, and no groups of three digits behind the point",
     "mend the cell, or `decimal: \".\"` in the site file, where the whole file has points"),
    ("thousands-separator", "bad", "a comma, point or blank between thousands",
     "groups of three digits, and no number within the range otherwise",
     "export numbers without separators between thousands"),
    ("unit-in-cell", "bad", "a number with its unit in the cell", "a numeral and a word behind it",
     "export the number alone; its unit belongs into the column's description"),
    ("beyond-detection", "bad", "a limit of detection in place of a number: the value lies below "
     "or above it", "a sign (<, >) and a number, but for ages above 89",
     "in the study `replace: {TEXT: NUMBER}` for the column, one for each spelling"),
    ("ages-over-89", "bad", "the word that stands for ages above 89 in de-identified records",
     "a sign and 89 or 90", "in the study `replace: {TEXT: 90}` for the column"),
    ("unnamed-missing-code", "bad", "a word that means missing, which the study does not list",
     "unknown, unk, n/a, null, a dash and their like", "in the study add it to `missing`, or empty "
     "the cell"),
    ("two-missing-codes", "warn", "cells of one column are missing in several ways",
     "codes of the study, words that mean missing, and numbers such as -1 or 999 far outside the "
     "range",
     "do they mean the same (not measured, refused, unknown)? List all of them under `missing`"),
    ("date-for-number", "bad", "a date where a number was expected", "year, month and day",
     "export the number that the study asks for (an age, days since admission)"),
    ("no-date", "bad", "text where a date was expected", "it is read by the column's format",
     "mend the cell, or say under `data` how the dates are written"),
    ("date-in-another-order", "bad", "a date that is written otherwise than the column's format",
     "the common formats are tried",
     "`dates: {COLUMN: FORMAT}` in the site file, or mend the cell"),
    ("impossible-date", "bad", "a day that no calendar has", "the calendar", "mend the cell"),
    ("date-far-away", "bad", "a year long past or far ahead, as codes for missing have",
     "the year", "mend the cell, or in the study `missing: [DATE]` for the column"),
    ("instant-for-a-day", "bad", "a moment in UTC where a day is asked for, as a database's time "
     "stamp with a time zone: around midnight it is another day on the hospital's clock",
     "the type of the cells", "in a query `COLUMN AT TIME ZONE 'Europe/Berlin'`, in a Parquet file "
     "a column without a time zone"),
    ("partial-date", "bad", "a date without its day or month", "it is read by its format",
     "fill it, or in the study `partial: first`, `middle` or `last`"),
    ("event-before-index", "bad", "an event before the days that count", "days are compared",
     "mend the dates, or in the study `before_index: ignore`"),
    ("outcome-not-observed", "bad", "no event, and not observed for long enough to say so",
     "days are compared", "in the study `unobserved: drop`, or export whose outcome is known"),
    ("two-date-orders", "bad", "days and months stand in both orders in one column",
     "some first numbers are above 12, and so are some second ones",
     "export dates as YYYY-MM-DD"),
    ("several-date-forms", "bad", "dates of one column are written in several forms, such as "
     "DD.MM.YYYY and MM/DD/YYYY", "the column's format and the common ones are tried",
     "export the column in one form, best YYYY-MM-DD"),
    ("excel-date-number", "bad", "Excel's number of a day (days since 1900) instead of a date or "
     "an age", "a whole number from 20000 to 60000, far above the range",
     "format the column as text or YYYY-MM-DD in Excel, and export again"),
    ("one-number-clipped", "warn", "the numbers outside a column's range are all the same",
     "three or more equal ones", "if it is a code for missing, in the study write it under "
     "`missing`, and `impute: VALUE`"),
    ("many-clipped", "warn", "more than 5 % of a column's numbers lie outside the range",
     "clipped cells are counted", "compare the column's unit and its codes for missing with the "
     "study's"),
    ("wrong-unit", "bad", "more than half of a column's numbers lie outside the range: "
     "another unit",
     "clipped cells are counted, ten numbers at least", "convert the column, or ask for a wider "
     "range; do not approve before"),
    ("some-in-another-unit", "warn", "a part of a column's numbers lies outside the range, and "
     "nearly all of these would be inside it in another unit",
     "a twentieth of the numbers, ten at least; the study's units, and those that everybody "
     "converts alike",
     "export the whole column in one unit; if the numbers are right, ask for a wider range"),
    ("many-imputed", "warn", "more than 5 % of a column's cells are missing and imputed",
     "imputed cells are counted", "is it so in the records? Else mend the export"),
    ("many-dropped", "warn", "more than 5 % of the rows are dropped for what is missing",
     "rows are counted", "mend the export, if the records have it"),
    ("constant-column", "warn", "a column holds one value only", "its different cells are counted, "
     "ten at least", "is it so in the records? Else mend the export: a filter or a join may have "
     "taken the rest"),
    ("label-in-a-column", "warn", "a column tells the label of every record: it is the label, or "
     "was written after it", "each value, or each side of a number, goes with one class, ten "
     "records of each at least", "ask whether it is known before the outcome; else the study "
     "must not read it"),
)  # fmt: skip

_PATIENTS: tuple[_Entry, ...] = (
    ("missing-label", "bad", "the label is missing", "the study's codes for missing",
     "fill it, or in the study `on_missing: drop_row`"),
    ("unknown-label", "bad", "a label that the study does not list", "it is compared",
     "mend the cell, or ask for the value to be listed"),
    ("label-missing-for-many", "warn", "more than 5 % of the rows lack a label",
     "missing cells are counted", "those without an outcome are often not like the others: mend "
     "the export, or tell the study's author"),
    ("no-patient-key", "bad", "a record does not say whose it is", "an empty key",
     "fill it: privacy by patient cannot be kept otherwise"),
    ("key-without-its-last-digits", "bad", "a patient's number that is written with an exponent "
     "(1,0E+05), or of 16 digits or more and stored as a floating-point number, as Excel stores "
     "every number: the last digits are lost, and several patients are one",
     "the type and size of keys; a digit, an E, a sign and two digits",
     "store the column as text, from where it still has all digits, and export again"),
    ("consent-line", "bad", "a line of the file of consents says no statement that can be read",
     "each is read; the lines are counted", "mend the line: `docs/patients.md` says its columns"),
    ("key-of-many-rows", "warn", "one patient's key holds more than a twentieth of the rows, and "
     "more than the study takes of a patient", "rows are counted by key, ten of one at least",
     "is it one patient's? Else export each patient's own key"),
    ("two-spellings-of-a-patient", "warn", "two keys differ only in capitals, blanks, dashes, "
     "leading zeros or the form of an umlaut", "keys are compared without these; pairs are counted",
     "write one spelling: a patient who counts as two is protected half as well"),
    ("row-per-stay", "warn", "no patient has a second record, though the study has room for more",
     "patients and records are counted", "if the key is one per stay, put the patient's own there"),
    ("one-class", "bad", "all training patients have one label", "labels are counted",
     "leave this site out, or in the study `allow_one_class`"),
    ("too-few-patients", "bad", "fewer patients than the study's minimum", "patients are counted",
     "leave this site out, or ask for a smaller `cohort.min_patients`"),
    ("too-few-of-a-class", "bad", "fewer patients of a class than the study's minimum",
     "patients of each part are counted", "leave this site out, or ask for a smaller "
     "`cohort.min_per_class`"),
    ("below-the-policy", "bad", "fewer patients than this hospital's own policy asks for",
     "patients are counted", "amend `policy.patients`, or stay out"),
    ("no-training-patients", "bad", "the split leaves nobody to train on", "patients are counted",
     "amend the study's split"),
    ("more-patients-than-declared", "bad", "more training or test patients than the study declares",
     "patients are counted", "ask for a round number above"),
    ("fewer-patients-than-declared", "warn", "fewer training patients than half of what is "
     "declared",
     "patients are counted", "ask for a round number nearer to the truth"),
    ("patient-in-both-parts", "bad", "a patient's records stand in the training and the test part",
     "keys are compared", "amend the split so that each patient is in one"),
    ("split-finds-nobody", "bad", "the split's column or file marks no record of this site for a "
     "part", "records are counted", "amend the study's split, or mend the column"),
    ("rows-without-order", "bad", "the split's file names rows by their place, and the source has "
     "no order", "what the source says of itself", "write the rows to a file in that order, or ask "
     "for another split"),
    ("row-not-in-the-file", "bad", "the split's file names rows that are not there",
     "rows are compared", "is it the file the split was made for? Rows may have been dropped"),
)  # fmt: skip

_IMAGES: tuple[_Entry, ...] = (
    ("not-an-npz", "bad", "the file of images is not an npz, or is cut short", "it is opened",
     "export it again"),
    ("missing-array", "bad", "an array that the study needs is not in the file",
     "names are compared", "write it, named after its part"),
    ("damaged-array", "bad", "an array cannot be read whole, or is no array of numbers or text",
     "its header and checksum", "export the file again"),
    ("array-of-another-shape", "bad", "an array has not one entry for each image",
     "shapes are compared", "write the arrays from one list of images"),
    ("image-of-another-size", "bad", "images whose size the study does not take",
     "sizes are compared with what its preprocessing makes of them", "save them in another size, "
     "or ask for a study that resizes"),
    ("pixel-outside-range", "bad", "a pixel outside the study's range, or not a number",
     "pixels are compared with the range", "mend the images, or ask for a wider range"),
    ("unknown-class", "bad", "a mask holds a number that is no class of the study",
     "values are compared", "mend the mask"),
    ("image-not-there", "bad", "a line names an image that the folder has not",
     "files, series or accessions are looked up", "put it there, or take the line out"),
    ("dicom-without-nifti", "bad", "a line names a NIfTI that is not there, though its DICOM is",
     "files of the same name", "convert it, or name the folder of its DICOM series"),
    ("image-outside-the-folder", "bad", "a path or link that leads out of the folder of images",
     "paths are resolved", "write it from that folder on, or copy the file"),
    ("no-image-named", "bad", "a line without an image", "the cell is empty",
     "name it, or take the line out"),
    ("image-named-twice", "bad", "two lines name one image", "names are compared",
     "one line for each record, not for each file or series"),
    ("line-per-series", "bad", "several lines of one study, of which the study makes one record: "
     "series counted as studies", "the headers' study numbers", "one line for each study"),
    ("studies-under-one-number", "bad", "several studies have the number that a line names",
     "the headers' numbers", "what the message says"),
    ("series-counted-as-studies", "warn", "more images than studies: series may be counted as "
     "studies", "the headers' study numbers", "one line for each study, or ask for a study with "
     "`image.series`"),
    ("images-without-a-line", "warn", "images of the folder that no line names: series without "
     "labels", "files, series or accessions are compared", "add their lines, or move them"),
    ("mask-without-image", "bad", "a line with a mask and no image", "cells are compared",
     "name its image, or take the line out"),
    ("image-without-mask", "bad", "a line with an image and no mask", "cells are compared",
     "name its mask, or take the line out"),
    ("mask-elsewhere", "bad", "a mask of another size or place than its image",
     "sizes and places of the headers", "export the mask on its own image, not moved"),
    ("image-geometry", "bad", "spacing or orientation that the study needs is not stated, or not "
     "the study's", "the header", "export it with both, take another series, or resample it"),
    ("unreadable-image", "bad", "a file that is no image, is damaged, or needs a codec that is not "
     "there", "its header and pixels are read", "what the message says"),
    ("unknown-part", "bad", "a part that the study does not name", "it is compared",
     "name one of the study's parts, or take the line out"),
    ("another-patient-in-the-header", "bad", "a header states another patient than the table",
     "numbers are compared, and never told", "mend the table, or `header_patient: other` where it "
     "has pseudonyms"),
    ("two-persons-for-a-patient", "bad", "one patient of the table has images of several persons, "
     "or one person is several patients", "the headers' numbers are compared, and never told",
     "give every person one number in the table"),
    ("stated-burned-in-text", "bad", "a header states that words stand in the pixels",
     "Burned In Annotation", "blacken the words, or `burned_in: allowed` once you have looked"),
    ("burned-in-text", "warn", "words may stand in the pixels", "strokes of letters' height",
     "look at each of them"),
    ("narrow-intensities", "warn", "many images take less than a tenth of the study's range",
     "pixels are compared with the range",
     "are they in the study's unit (Hounsfield units, not windowed)?"),
    ("blank-images", "warn", "images of which every pixel is the same", "pixels are compared",
     "leave them out, or export them again"),
    ("repeated-images", "warn", "prepared images that are equal to another in every pixel",
     "their digests are compared", "write each image once; if two patients share one, one of them "
     "is wrong"),
    ("empty-masks", "warn", "masks without a single pixel of any class but the first",
     "pixels are counted", "is nothing to be found there? Else export them again"),
)  # fmt: skip

_CLINICAL: tuple[_Entry, ...] = (
    ("missing-table", "bad", "a table of OMOP, or a type of FHIR's resources, that the study needs "
     "is not there", "names are compared", "export it too, or mend the folder or schema in the "
     "site file"),
    ("broken-resource", "bad", "a line of FHIR's resources that is not one whole JSON object, is "
     "longer than one can be, or is of another type than its file", "it is read",
     "export the file again"),
    ("clinical-records", "bad", "clinical records that no table can be made of: without identity, "
     "with a shared one, or in several units", "persons, ids and units are compared",
     "what the message says"),
    ("no-clinical-meaning", "bad", "the study does not say what a column is made of",
     "columns are compared", "ask for its clinical meaning, or another split"),
    ("records-left-out", "warn", "clinical records without date, value or person, or in another "
     "unit, are left out", "they are counted by their reason", "what the message says"),
    ("nothing-for-a-column", "warn", "no record of the source is what a column asks for",
     "records are counted", "compare the study's concepts and codes with the records'"),
)  # fmt: skip

_OTHER: tuple[_Entry, ...] = (
    ("records", "bad", "the records do not fit in a way that has no name of its own", "they are "
     "read", "what the message says"),
)  # fmt: skip

#: What the faults are about, in the order of the page.
GROUPS = {
    "The file": _FILES,
    "Its lines": _LINES,
    "Cells and columns": _CELLS,
    "Labels and patients": _PATIENTS,
    "Images": _IMAGES,
    "Clinical records (OMOP, FHIR)": _CLINICAL,
    "Everything else": _OTHER,
}


def _kinds() -> Iterator[FaultKind]:
    for group, entries in GROUPS.items():
        for name, state, what, found, remedy in entries:
            yield FaultKind(
                name=name, group=group, state=state, what=what, found=found, remedy=remedy
            )


#: Every kind of fault by its name.
CATALOGUE = {kind.name: kind for kind in _kinds()}


def see(name: str) -> str:
    """Returns the place where a name is explained.

    >>> see("one-class")
    'docs/data-faults.md#one-class'
    """
    return f"{PAGE}#{name}"
