"""The bundled studies run as they are, without a download, and say whose records they hold."""

import hashlib
import re
from pathlib import Path

import pytest

from collegium.simulation.records import read_hospitals
from collegium.studies.bundled import BUNDLED_STUDIES, BundledStudy, bundled_study
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study_file import index_beside, read_study_file
from tests import ROOT

EXAMPLE = ROOT / "examples" / "heart-disease"
HEART = bundled_study("heart-disease")
every = pytest.mark.parametrize("bundled", BUNDLED_STUDIES.values(), ids=BUNDLED_STUDIES)


def num_patients(document: Path, data: Path | None) -> dict[str, tuple[int, int]]:
    """Each site's training and test patients, of records that are checked as in a simulation."""
    study = read_study_file(document)
    parts = read_hospitals(study, index_beside(study, document.parent), data)
    return {site: (train.num_patients, test.num_patients) for site, (train, test) in parts.items()}


@every
def test_the_records_of_a_bundled_study_fit_its_contract(bundled: BundledStudy) -> None:
    counts = num_patients(bundled.document, bundled.data)
    assert (
        sum(map(sum, counts.values())) == {"heart-disease": 740, "breast-cancer": 569}[bundled.name]
    )
    assert set(bundled.hospitals) in (set(), set(counts))
    assert bundled.study.name == bundled.name


@every
def test_a_copy_of_a_bundled_study_is_that_study_with_its_records(
    bundled: BundledStudy, tmp_path: Path
) -> None:
    document = bundled.copy_to(tmp_path / "mine")
    assert read_study_file(document).digest == bundled.study.digest
    copied = num_patients(document, document.parent)
    assert copied == num_patients(bundled.document, bundled.data)
    with pytest.raises(WorkspaceRefused, match="holds files already"):
        bundled.copy_to(tmp_path / "mine")


def test_the_heart_disease_records_are_the_unchanged_ones_that_their_licence_names() -> None:
    assert HEART.data is not None
    licence = (HEART.data / "LICENSE.md").read_text(encoding="utf-8")
    sums = dict(re.findall(r"^([0-9a-f]{32})  (\S+)$", licence, re.MULTILINE))
    records = sorted(HEART.data.glob("*.data"))
    assert {hashlib.md5(file.read_bytes()).hexdigest(): file.name for file in records} == sums  # noqa: S324
    assert [site.records for site in HEART.study.sites] == [file.name for file in records]
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for named in (
        "Janosi",
        "Steinbrunn",
        "Pfisterer",
        "Detrano",
        "creativecommons.org",
        "10.24432",
    ):
        assert named in licence and named in notice


def test_the_example_is_the_bundled_heart_disease_study() -> None:
    for name in ("study.yaml", "split.csv"):
        assert (EXAMPLE / name).read_bytes() == (HEART.document.parent / name).read_bytes()


def test_a_name_that_no_bundled_study_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(StudyRefused, match="there are heart-disease, breast-cancer; did you mean"):
        bundled_study("hart-disease")
