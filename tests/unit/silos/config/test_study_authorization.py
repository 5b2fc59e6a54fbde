"""A hospital's join with a recipe: its wheel, what is installed, and its policy, each time anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import PolicyRefused
from protocol.study.study import Study
from silos.config.site_file import read_site_file
from silos.config.study_authorization import StudyAuthorization, admit_recipes
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase, open_hospital
from silos.preflight.recipes import recipe_findings
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.recipes import imported, install, make_wheel, package_of, study_with
from tests.support.hospital.sites import changed_site


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = make_wheel(tmp_path / "east" / "recipes")
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    install(found, site)
    return found


@pytest.fixture
def study(wheel: Path) -> Study:
    return study_with(package_of(wheel))


def site_text(study: Study, wheel: Path) -> str:
    allowed = f"recipes: [{{wheel: recipes/{wheel.name}, sha256: {study.recipes[0].sha256}}}]"
    return changed_site("policy:", f"policy:\n  {allowed}")


@pytest.fixture
def hospital(tmp_path: Path, study: Study, wheel: Path) -> Iterator[SiteDatabase]:
    kept = wheel.read_bytes()
    wheel.unlink()
    wheel.parent.rmdir()
    (tmp_path / "east").rmdir()
    home = make_east(tmp_path, site=site_text(study, wheel))
    wheel.parent.mkdir()
    wheel.write_bytes(kept)
    opened = open_hospital(home / "hospital.db", site="east")
    approvals_of(opened).approve(study.digest, approver=OFFICER, approvers=(OFFICER,))
    yield opened
    opened.close()


def test_a_study_may_begin_while_wheel_and_installed_files_are_the_studys(
    tmp_path: Path, study: Study, hospital: SiteDatabase
) -> None:
    authorization = StudyAuthorization(tmp_path / "east", hospital)
    assert authorization(study).runs == 1
    assert study.recipes[0].required.of_wheel and not imported()
    (tmp_path / "site-packages" / "acme_recipes" / "__init__.py").write_text("x = 1\n")
    with pytest.raises(PolicyRefused, match=r"acme_recipes/__init__\.py was changed"):
        authorization(study)  # asked again at every round


def test_a_wheel_that_was_replaced_or_taken_away_is_refused(
    tmp_path: Path, study: Study, wheel: Path, hospital: SiteDatabase
) -> None:
    authorization = StudyAuthorization(tmp_path / "east", hospital)
    wheel.write_bytes(make_wheel(tmp_path / "other", "x = 1\n").read_bytes())
    with pytest.raises(PolicyRefused, match="is not the wheel of acme-recipes"):
        authorization(study)
    wheel.unlink()
    with pytest.raises(PolicyRefused, match="cannot be read"):
        authorization(study)


def test_the_check_says_what_is_found_and_imports_nothing(
    tmp_path: Path, study: Study, wheel: Path
) -> None:
    site, home = read_site_file(site_text(study, wheel)), tmp_path / "east"
    (found,) = recipe_findings(home, site, study)
    assert found.state == "ok" and "acme-recipes 1.2.0: 5 files as in the wheel" in found.finding
    (tmp_path / "site-packages" / "acme_recipes" / "more.py").write_text("x = 1\n")
    (found,) = recipe_findings(home, site, study)
    assert found.state == "bad" and "more.py does not belong to it" in found.finding
    nothing = read_site_file(changed_site("approvals_needed: 1", "approvals_needed: 1"))
    assert list(recipe_findings(home, nothing, study)) == []
    with pytest.raises(
        PolicyRefused, match=r"acme-recipes 1\.2\.0, which is not allowed .*add \{wheel"
    ):
        admit_recipes(nothing, home, study)
    assert not imported()
