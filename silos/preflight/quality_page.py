"""The hospital's own page about its records: findings, counts, drawings and, of images, pictures.

Rules:

1. It stays in the hospital, and says so at its head; whoever writes it lets its owner alone read.
2. Counts stand there as everywhere: none from 1 to 9, none that would give one away.
3. It needs no other file and no network.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image as Picture

from compliance.charts.counted.bars import count_bars, histogram_bars
from compliance.charts.theme import to_svg
from compliance.facts.formatting import Format
from compliance.reports.document import (
    Block,
    Bullets,
    Column,
    Document,
    Fact,
    Facts,
    Figure,
    Paragraph,
    Pictures,
    Section,
    Statement,
    Table,
    Tone,
)
from pipelines.cohort.inspection.prepared_images import pictures_of
from pipelines.cohort.quality import DataQuality
from pipelines.sources.faults.catalogue import CATALOGUE
from protocol.counted import counted
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.study import Study
from silos.preflight.findings import Finding
from silos.preflight.records import RecordsCheck

#: Columns of numbers that are drawn; the rest stand in the JSON.
MAX_DRAWN = 24
_HIDDEN = (
    "A count from 1 to 9 of patients, rows or cells is given as 'fewer than 10'; one from which "
    "such a count would follow is 'not shown'. Line numbers of faulty cells are shown: whoever "
    "mends the export needs them."
)


def quality_page(
    site: str, study: Study, findings: Sequence[Finding], records: RecordsCheck, *, at: str
) -> Document:
    """Returns the page of one hospital.

    Args:
        site: the hospital's name.
        study: against which its records were checked.
        findings: all of the check's.
        records: what was found of its records.
        at: when they were read, to be told.
    """
    pictured = isinstance(study.cohort, ImageCohort) and records.read is not None
    sections = [_findings(findings)]
    if records.quality is not None:
        told = records.quality.to_json()
        sections.append(_patients(told))
        if told["columns"]:
            sections.append(_columns(records.quality, told))
        if isinstance(study.cohort, ImageCohort):
            sections.append(_images(study.cohort, records, told))
    return Document(
        kind="data-quality",
        title=f"Data quality of {site or 'this hospital'}",
        subtitle=f"Study {study.title} ({study.digest[:16]}), checked {at}",
        banner=(
            Statement(
                text="This page is about patients' data"
                + (" and shows pictures of patients" if pictured else "")
                + ". It stays in this hospital.",
                detail="Do not send it to the consortium, and do not keep it longer than needed.",
                tone=Tone.BAD,
            ),
            _verdict(findings),
        ),
        sections=tuple(sections),
        footer=(_HIDDEN, "Written by collegium silo check; nothing of it was sent anywhere."),
    )


def _verdict(findings: Sequence[Finding]) -> Statement:
    bad = sum(entry.state == "bad" for entry in findings)
    warned = sum(entry.state == "warn" for entry in findings)
    said = f"{counted(bad, 'finding')} to mend, {warned} to look at"
    return Statement(text=said, tone=Tone.CAUTION if bad or warned else Tone.GOOD)


def _findings(findings: Sequence[Finding]) -> Section:
    order = {"bad": 0, "warn": 1, "ok": 2}
    ranked = sorted(findings, key=lambda entry: order[entry.state])
    rows = tuple((e.state, e.what, e.finding, e.remedy or "nothing") for e in ranked)
    titles = ("State", "Name", "Found", "What to do")
    blocks: list[Block] = [
        Table(title="Findings", columns=tuple(Column(title=t) for t in titles), rows=rows)
    ]
    named = dict.fromkeys(entry.what for entry in ranked if entry.see)
    if named:
        items = tuple(
            (name, f"{CATALOGUE[name].what}. How it is found: {CATALOGUE[name].found}.")
            for name in named
        )
        blocks += [Paragraph(text="What the names of faults mean:"), Bullets(items=items)]
    return Section(key="findings", title="Findings", blocks=tuple(blocks))


def _patients(told: Mapping[str, Any]) -> Section:
    parts = ("whole", "train", "test")
    ill = told["whole"]["patients_ill"] is not None
    heads = ["Part", "Records", "Patients", *(["Ill patients"] if ill else [])]
    names = ["records", "patients", *(["patients_ill"] if ill else [])]
    table = Table(
        title="Records and patients",
        columns=tuple(
            Column(title=h, form=Format.COUNT if n else Format.TEXT) for n, h in enumerate(heads)
        ),
        rows=tuple((part, *(told[part][name] for name in names)) for part in parts),
    )
    file, most = told["file"], told["max_records"]
    label = f"Patients with more than {most} records, of which a step takes {most}"
    beyond = [Fact(label=label, value=told["patients_beyond"], form=Format.COUNT)]
    beyond = beyond if most > 1 else []
    facts = Facts(
        title="The source",
        rows=(
            Fact(label="Rows", value=file["rows"], form=Format.COUNT),
            Fact(label="Rows dropped", value=file["dropped"], form=Format.COUNT),
            Fact(label="Rows equal to another", value=told["repeated_rows"], form=Format.COUNT),
            Fact(
                label="Patients with several records",
                value=told["patients_with_several_records"],
                form=Format.COUNT,
            ),
            *beyond,
            *_times(told.get("times", {})),
        ),
    )
    balance = told["whole"]["classes"] or ({"ill": told["whole"]["patients_ill"]} if ill else {})
    blocks: list[Block] = [facts, table]
    if balance:
        rows = [("all patients", told["whole"]["patients"]), *balance.items()]
        blocks.append(_bars("Class balance", rows, "patients"))
    return Section(key="patients", title="Rows and patients", blocks=tuple(blocks))


def _times(times: Mapping[str, Any]) -> Iterator[Fact]:
    for key, label in (
        ("outside_window", "Rows outside the window of time"),
        ("unobserved", "Rows not observed for long enough"),
        ("before_index", "Rows with an event before the days that count"),
    ):
        if key in times:
            yield Fact(label=label, value=times[key], form=Format.COUNT)


def _columns(quality: DataQuality, told: Mapping[str, Any]) -> Section:
    missing = told["file"]["missing"]
    names = [column["name"] for column in told["columns"]]
    blocks: list[Block] = []
    rows = [(name, missing.get(name, 0)) for name in [*names, *sorted({*missing} - {*names})]]
    if any(count for _, count in rows):
        blocks.append(_bars("Missing cells", rows, "cells of the whole file"))
    elif rows:
        blocks.append(Paragraph(text="No cell of a needed column is missing."))
    heads = ("Column", "Imputed", "Replaced", "Converted", "Clipped")
    if names:
        blocks.append(
            Table(
                title="Cells in the records that are kept",
                columns=tuple(
                    Column(title=h, form=Format.COUNT if n else Format.TEXT)
                    for n, h in enumerate(heads)
                ),
                rows=tuple(
                    tuple(c[n] for n in ("name", "imputed", "replaced", "converted", "clipped"))
                    for c in told["columns"]
                ),
            )
        )
    blocks += _histograms(told["histograms"])
    if len(quality.histograms) > MAX_DRAWN:
        more = counted(len(quality.histograms) - MAX_DRAWN, "more column")
        blocks.append(Paragraph(text=f"{more} of numbers: --json has them."))
    return Section(key="columns", title="Columns", blocks=tuple(blocks))


def _histograms(found: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    for one in found[:MAX_DRAWN]:
        yield _histogram(one, "records")


def _histogram(one: Mapping[str, Any], of: str) -> Figure:
    counts, low, high = one["counts"], one["low"], one["high"]
    width = (high - low) / len(counts)
    bins = [
        (f"{low + n * width:g} to {low + (n + 1) * width:g}", count)
        for n, count in enumerate(counts)
    ]
    alt = f"{one['name']}: " + ", ".join(f"{name} {count}" for name, count in bins)
    return Figure(
        title=one["name"],
        svg=to_svg(histogram_bars(low, high, counts, alt, one["name"])),
        alt=alt,
        caption=f"{one['name']}: {of} in ten bins of the study's range; what lies outside is in "
        "the first or last. <10: fewer than 10. *: not shown.",
        table=Table(
            title=one["name"],
            columns=(Column(title="Bin"), Column(title=of.capitalize(), form=Format.COUNT)),
            rows=tuple(bins),
        ),
    )


def _bars(title: str, rows: Sequence[tuple[str, Any]], axis: str) -> Figure:
    alt = f"{title}: " + ", ".join(f"{name} {count}" for name, count in rows)
    return Figure(
        title=title,
        svg=to_svg(count_bars(rows, alt, axis)),
        alt=alt,
        caption=title,
        table=Table(
            title=title,
            columns=(Column(title="Name"), Column(title=axis.capitalize(), form=Format.COUNT)),
            rows=tuple(rows),
        ),
    )


def _images(cohort: ImageCohort, records: RecordsCheck, told: Mapping[str, Any]) -> Section:
    found = told["images"]
    sides = ", ".join(" x ".join(map(str, one)) for one in found["sides"])
    blocks: list[Block] = [
        Facts(
            title="Prepared images",
            rows=(
                Fact(label="Sizes in the source", value=sides),
                Fact(label="Size for the network", value=" x ".join(map(str, found["shape"]))),
                Fact(label="Blank", value=found.get("blank", 0), form=Format.COUNT),
                Fact(label="Equal to another", value=found.get("repeated", 0), form=Format.COUNT),
                Fact(label="Empty masks", value=found.get("empty_masks", 0), form=Format.COUNT),
            ),
        )
    ]
    blocks += _headers(found.get("scans", {}))
    if "brightness" in found:
        blocks.append(_histogram(found["brightness"], "images"))
    if records.read is not None and len(records.read.whole):
        pictures = pictures_of(records.read.whole, cohort)
        blocks.append(
            Pictures(
                title="As the network sees them",
                pictures=tuple(map(_png, pictures)),
                caption="Some prepared images, each from its darkest to its brightest pixel; of a "
                "volume the slice in its middle.",
            )
        )
    return Section(key="images", title="Images", blocks=tuple(blocks))


#: What is counted of images with headers, and how it is headed.
_SCANS = {
    "kinds": "Kinds",
    "orientations": "Axes as stored",
    "spacings": "Distances of voxels in mm",
    "sizes": "Sizes as stored",
    "intensities": "Part of the study's range that an image takes",
}


def _headers(scans: Mapping[str, Any]) -> Iterator[Block]:
    """Yields what the headers of images say, each kind with its count."""
    for key, title in _SCANS.items():
        if scans.get(key):
            yield Table(
                title=title,
                columns=(Column(title=title), Column(title="Images", form=Format.COUNT)),
                rows=tuple(scans[key].items()),
            )
    if scans:
        titles = ("studies", "series", "unnamed", "written_on")
        labels = ("Studies", "Series", "Without a line", "With words in the pixels, maybe")
        yield Facts(
            title="By their headers",
            rows=tuple(
                Fact(label=label, value=scans[key], form=Format.COUNT)
                for key, label in zip(titles, labels, strict=True)
            ),
        )


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
