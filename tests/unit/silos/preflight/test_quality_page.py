"""The hospital's own page: counts and drawings of its records, for its own eyes."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from collegium.cli.main import app
from compliance.reports.renderers import render_html
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.config.site_file import read_site_file
from silos.database.database import SiteDatabase, open_hospital
from silos.preflight.quality_page import quality_page
from silos.preflight.records import RecordsCheck, check_records
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.planted_faults import PLANTED, STUDY, Planted, cell, write
from tests.support.hospital.sites import SITE
from tests.support.simulated.studies import TABLE_STUDY

CLEVELAND = read_site_file(
    SITE.replace("east.csv", "cleveland.csv").replace("name: east", "name: cleveland")
)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteDatabase]:
    found = open_hospital(tmp_path_factory.mktemp("home") / "hospital.db", site="cleveland")
    yield found
    found.close()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_of(study: Study, site: str, found: RecordsCheck) -> str:
    return render_html(quality_page(site, study, found.findings, found, at="2026-11-28 05:00 UTC"))


def test_the_page_has_findings_counts_and_drawings_and_asks_for_nothing(
    hospital: SiteDatabase, tmp_path: Path
) -> None:
    planted = PLANTED["many cells missing, imputed"]
    write(planted, tmp_path)
    study = read_study(planted.study)
    page = page_of(
        study, "cleveland", check_records(tmp_path, CLEVELAND, study, tmp_path, hospital)
    )
    assert "It stays in this hospital." in page
    assert "many-imputed" in page and "more than 5 % of a column&#39;s cells" in page
    tags = _Tags()
    tags.feed(page)
    names = [tag for tag, _ in tags.found]
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    assert names.count("figure") == 2 + 5  # class balance, missing cells, five columns of numbers
    links = [value for _, attrs in tags.found for key, value in attrs.items()
             if key in ("href", "src", "xlink:href")]  # fmt: skip
    assert all(str(link).startswith("#") for link in links)


def test_no_small_count_stands_on_the_page(hospital: SiteDatabase, tmp_path: Path) -> None:
    write(Planted(file=cell("chol", "", 1, 2, 3, 4, 5, 6, 7), names=frozenset()), tmp_path)
    study = read_study(STUDY.replace("on_missing: refuse", "on_missing: drop_row"))
    found = check_records(tmp_path, CLEVELAND, study, tmp_path, hospital)
    page = page_of(study, "cleveland", found)
    numbers = re.findall(r"<td[^>]*>(\d+)</td>", page)
    assert numbers and not {str(n) for n in range(1, 10)} & set(numbers)
    assert "303" not in numbers or "296" not in numbers  # else their difference is shown
    assert "fewer than 10" in page


def test_pictures_are_the_images_that_the_network_sees(tmp_path: Path) -> None:
    start, end = TABLE_STUDY.index("cohort:"), TABLE_STUDY.index("sites:")
    images = (
        "cohort:\n  kind: images\n  patient_key: row\n  label: {positive: [1], negative: [0]}\n"
        "  min_patients: 4\n  parts: [train]\n"
        "  image: {shape: [8, 8], range: [0, 255], centre: 128, scale: 64}\n"
    )
    study = read_study(
        (TABLE_STUDY[:start] + images + TABLE_STUDY[end:]).replace(
            "{_target_: FullyConnectedNet, hidden_channels: [4]}", "{_target_: DenseNet121}"
        )
    )
    pixels = np.random.default_rng(1).integers(0, 255, (40, 8, 8)).astype(np.uint8)
    pixels[3], pixels[8] = 7, pixels[9]
    np.savez(tmp_path / "east.npz", train_images=pixels, train_labels=np.arange(40) % 2)
    site = read_site_file(SITE.replace("east.csv", "east.npz"))
    with closing(open_hospital(tmp_path / "hospital.db", site="east")) as east:
        found = check_records(tmp_path, site, study, tmp_path, east)
    assert {entry.what for entry in found.findings if entry.see} == {
        "blank-images",
        "repeated-images",
    }
    page = page_of(study, "east", found)
    assert page.count("<img ") == 12
    assert page.count('src="data:image/png;base64,') == 12
    assert "img-src data:" in page and "shows pictures of patients" in page


def test_the_command_writes_it_for_its_owner_alone_and_ends_with_two(tmp_path: Path) -> None:
    home = make_east(tmp_path)
    to = tmp_path / "page.html"
    words = ["silo", "check", str(tmp_path / "study.yaml"), "--home", str(home), "--html", str(to)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2  # nobody has approved it, and it is not enrolled
    assert to.stat().st_mode & 0o777 == 0o600
    assert "Data quality of east" in to.read_text(encoding="utf-8")
    nowhere = [*words[:-1], str(tmp_path / "none" / "page.html")]
    refused = CliRunner().invoke(app, nowhere)
    assert "cannot be written" in str(refused.exception or refused.output)


@pytest.mark.parametrize("name", ["a number outside", "an empty file"])
def test_a_page_is_written_of_records_that_do_not_fit(
    name: str, hospital: SiteDatabase, tmp_path: Path
) -> None:
    write(PLANTED[name], tmp_path)
    study = read_study(STUDY)
    page = page_of(
        study, "cleveland", check_records(tmp_path, CLEVELAND, study, tmp_path, hospital)
    )
    assert "to mend" in page and "Rows and patients" not in page
