"""``silo check`` reads a hospital's folder of images and says what they are, as counts."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from protocol.study.study import Study
from silos.config.site_file import read_site_file, site_file_of, source_of
from silos.config.study_authorization import columns_here, refusals_here
from silos.preflight.checks import SiteCheck
from silos.preflight.quality_table import print_quality
from tests.bench.studies import imaging
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.preflight import check_quickly
from tests.support.hospital.sites import changed_site
from tests.support.images.dicom_files import write_series
from tests.support.images.folders import cohort, volume, write_scans, write_table
from tests.support.images.nifti_files import write_nifti

SITE = changed_site(
    "data: {kind: file, path: east.csv}",
    "data: {kind: images, folder: scans, table: labels.csv, part: part}",
)


def study(**image: object) -> Study:
    return imaging(micro_batch=4, side=28, patients=24).model_copy(
        update={"cohort": cohort(**image)}
    )


def check(home: Path, **image: object) -> SiteCheck:
    return check_quickly(home, study(**image), home.parent)


def printed(found: SiteCheck) -> str:
    console = Console(file=StringIO(), width=100)
    if found.records.quality is not None:
        print_quality({"east": found.records.quality}, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hospital of whose machine nothing is tried: that is no matter of images."""
    monkeypatch.setattr("silos.preflight.checks.machine_findings", lambda *_: [])
    return make_east(tmp_path, site=SITE)


def test_a_folder_of_images_is_checked_and_counted(home: Path) -> None:
    write_scans(home, 24)
    write_nifti(home / "scans" / "forgotten.nii", volume(99))
    found = check(home)
    states = {entry.what: entry for entry in found.findings}
    assert states["records"].state == "ok", states["records"]
    assert "fewer than 10 files" in states["images-without-a-line"].finding
    assert found.records.quality is not None and found.records.quality.images is not None
    scans = json.loads(json.dumps(found.records.quality.to_json()))["images"]["scans"]
    assert scans["kinds"] == {"NIfTI": 24}
    assert scans["spacings"] == {"1.00 x 2.00 x 3.00": 24}
    assert scans["orientations"] == {"RAS": 24}
    assert (scans["studies"], scans["unnamed"]) == (0, "fewer than 10")
    text = printed(found)
    assert "east: images: NIfTI 24" in text
    assert "east: axes as stored: RAS 24" in text
    assert "mm between voxels: 1.00 x 2.00 x 3.00 24" in text
    assert "narrow-intensities" in states


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ({"column": "age", "positive": ["80"], "negative": ["20"]}, "not allowed: age"),
        (
            {"findings": {name: {"positive": [1], "negative": [0]} for name in ("sex", "zip")}},
            "not allowed: sex, zip",
        ),
        ({"positive": ["ill"], "negative": ["well"]}, None),
    ],
)
def test_a_study_reads_no_column_of_the_images_table_as_a_label_that_is_not_allowed(
    label: dict[str, object], told: str | None
) -> None:
    allowed = SITE.replace("[age, ward, patient, ill]", "[images, labels, patient]")
    site = read_site_file(allowed)
    asked = study().model_copy(update={"cohort": cohort(label)})
    found = [
        refusal.what
        for refusal in refusals_here(site, asked, simulated=False)
        if refusal.where == "policy.columns"
    ]
    assert len(found) == (told is not None)
    assert told is None or found[0].endswith(told)
    named = () if told is None else told.removeprefix("not allowed: ").split(", ")
    assert set(columns_here(site, asked)) == {"images", "labels", "patient", *named}


def test_series_counted_as_studies_are_a_finding(home: Path) -> None:
    """726 series for 242 studies: lines by series, where records are studies."""
    rows = []
    for patient in range(12):
        for series in range(3):
            name = f"{patient}-{series}"
            write_series(
                home / "scans" / name, volume(patient * 3 + series, (3, 5, 4)),
                StudyInstanceUID=f"1.{patient}", SeriesInstanceUID=f"1.{patient}.{series}",
                PatientID=f"P{patient}",
            )  # fmt: skip
            rows.append(
                {"patient": f"P{patient}", "image": name, "labels": ("ill", "well")[patient % 2],
                 "part": "train"}
            )  # fmt: skip
    write_table(home / "labels.csv", rows)
    remark = {entry.what: entry for entry in check(home).findings}["series-counted-as-studies"]
    assert "36 images are of 12 studies and 12 patients: series are counted" in remark.finding
    bad = {e.what: e for e in check(home, series={"choose": "largest"}).findings}["line-per-series"]
    assert "line 3 (and 23 more lines): an image of the same study" in bad.finding


def test_a_folder_that_does_not_fit_is_a_finding_with_lines(home: Path) -> None:
    rows = write_scans(home, 12)
    rows[7]["image"] = "gone.nii.gz"
    write_table(home / "labels.csv", rows)
    (bad,) = [e for e in check(home).findings if e.what == "image-not-there"]
    assert bad.state == "bad" and "line 9: the file is not there" in bad.finding


def test_the_site_file_gives_the_source(home: Path) -> None:
    (home / "site.yaml").write_text(
        SITE.replace("part: part", "by: series, header_patient: other, burned_in: allowed")
    )
    source = source_of(site_file_of(home), home)
    assert (source.by, source.burned_in) == ("series", "allowed")  # type: ignore[attr-defined]
