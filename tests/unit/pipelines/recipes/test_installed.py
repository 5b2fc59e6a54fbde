"""A recipe's wheel and what is installed: each way in which one may not be the other is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.recipes.admission import admit, admit_beside, recipe_notes
from pipelines.recipes.installed import require_installed
from protocol.encoding import digest
from protocol.errors import PolicyRefused
from protocol.study.task.recipes import RecipePackage
from tests.support.hospital.recipes import (
    ENTRY,
    NAME,
    imported,
    install,
    make_wheel,
    package_of,
    study_with,
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_a_package_is_admitted_as_its_wheel_has_it(tmp_path: Path, site: Path) -> None:
    wheel = make_wheel(tmp_path)
    install(wheel, site)
    package = package_of(wheel)
    assert not package.is_at_hand
    admit(package, wheel)
    assert package.required.of_wheel and "acme_recipes/__init__.py" in package.required.files
    assert require_installed(package) == site
    assert not imported()


def _write(path: str, text: str = "x = 1\n") -> Callable[[Path], None]:
    def act(site: Path) -> None:
        place = site / path
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)

    return act


def _editable(site: Path) -> None:
    (site / "acme_recipes" / "__init__.py").unlink()
    (site / "acme_recipes-1.2.0.dist-info" / "direct_url.json").write_text(
        json.dumps({"url": "file:///work", "dir_info": {"editable": True}})
    )


def _linked(site: Path) -> None:
    place = site / "acme_recipes" / "__init__.py"
    place.rename(site / "elsewhere.py")
    place.symlink_to(site / "elsewhere.py")


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "changed": (_write("acme_recipes/__init__.py"), "acme_recipes/__init__.py was changed"),
    "missing": (
        lambda site: (site / "acme_recipes" / "__init__.py").unlink(),
        "acme_recipes/__init__.py is missing",
    ),
    "more": (_write("acme_recipes/more.py"), "acme_recipes/more.py does not belong to it"),
    "elsewhere": (_linked, "acme_recipes/__init__.py is missing"),
    "entry": (
        _write("acme_recipes-1.2.0.dist-info/entry_points.txt", "[collegium.recipes]\nr = os:path"),
        "entry_points.txt was changed",
    ),
    "editable": (_editable, "installed to be edited"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_installed_file_that_is_not_the_wheels_is_named(
    tmp_path: Path, site: Path, change: str
) -> None:
    wheel = make_wheel(tmp_path)
    install(wheel, site)
    package = package_of(wheel)
    admit(package, wheel)
    act, said = CHANGES[change]
    act(site)
    with pytest.raises(PolicyRefused, match=said):
        require_installed(package)
    assert not imported()


def test_another_version_and_none_are_refused(tmp_path: Path, site: Path) -> None:
    wheel = make_wheel(tmp_path)
    package = package_of(wheel)
    with pytest.raises(PolicyRefused, match="acme-recipes is not installed here"):
        admit(package, wheel)
    install(make_wheel(tmp_path / "newer", version="1.3.0"), site)
    with pytest.raises(PolicyRefused, match=r"in version 1\.3\.0, the study names 1\.2\.0"):
        admit(package, wheel)


def test_another_wheel_of_the_same_version_is_refused(tmp_path: Path, site: Path) -> None:
    wheel, other = make_wheel(tmp_path), make_wheel(tmp_path / "other", "x = 1\n")
    install(other, site)
    with pytest.raises(PolicyRefused, match="is not the wheel of acme-recipes 1"):
        admit(package_of(wheel), other)
    with pytest.raises(PolicyRefused, match=r"acme_recipes/__init__\.py was changed"):
        admit(package_of(wheel), wheel)
    with pytest.raises(PolicyRefused, match="cannot be read"):
        admit(package_of(wheel), tmp_path / "none.whl")


UNFIT = {
    "sitecustomize.py": "nothing else",
    "acme.pth": "nothing else",
    "torch/__init__.py": "nothing else",
    "acme_recipes-1.2.0.data/scripts/run": "nothing else",
    "acme_recipes/../../x.py": "nothing else",
    "acme_recipes/fast.so": "nothing compiled",
    "acme_recipes/libfast.so.1": "nothing compiled",
    "acme_recipes-1.2.0.dist-info/x.py": "no metadata of a recipe's wheel",
    "acme_recipes-1.2.0.dist-info/direct_url.json": "no metadata of a recipe's wheel",
    "acme_recipes/__pycache__/x.cpython-311.pyc": "nothing compiled",
}


@pytest.mark.parametrize("path", UNFIT)
def test_a_wheel_that_holds_more_than_its_package_is_no_recipes(tmp_path: Path, path: str) -> None:
    wheel = make_wheel(tmp_path, more={path: "x"})
    with pytest.raises(PolicyRefused, match=UNFIT[path]):
        admit(package_of(wheel), wheel)


@pytest.mark.parametrize(
    "entries",
    [
        f"{ENTRY}[pydantic]\nx = acme_recipes:plugin\n",
        f"{ENTRY}[torch.backends]\nx = acme_recipes:backend\n",
        f"[console_scripts]\ncollegium = acme_recipes:main\n{ENTRY}",
        f"{ENTRY}second = acme_recipes:OTHER\n",
        ENTRY.replace("acme_recipes:", "os:"),
        f"{ENTRY}  [pydantic]\n  x = acme_recipes:plugin\n",
        "",
    ],
)
def test_a_wheel_that_would_run_where_nobody_asked_for_it_is_refused(
    tmp_path: Path, entries: str
) -> None:
    wheel = make_wheel(tmp_path, more={"acme_recipes-1.2.0.dist-info/entry_points.txt": entries})
    with pytest.raises(PolicyRefused, match="its entry points must be one, of the group"):
        admit(package_of(wheel), wheel)


@pytest.mark.parametrize("name", ["sitecustomize", "silos", "json", "yaml", "dateutil"])
def test_a_wheel_of_somebody_elses_name_is_refused(tmp_path: Path, name: str) -> None:
    entries = ENTRY.replace("acme_recipes", name)
    place = f"{name}-1.2.0.dist-info/entry_points.txt"
    wheel = make_wheel(tmp_path, name=name, more={place: entries})
    package = RecipePackage(distribution=name, version="1.2.0", sha256=digest(wheel.read_bytes()))
    with pytest.raises(PolicyRefused, match=f"the package '{name}' is .*: give the recipe another"):
        admit(package, wheel)


def test_a_wheel_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    false = make_wheel(tmp_path, recorded={"acme_recipes/__init__.py": "sha256=AAAA"})
    with pytest.raises(PolicyRefused, match="not the file that the wheel's RECORD lists"):
        admit(package_of(false), false)
    other = make_wheel(
        tmp_path / "b",
        more={"acme_recipes-1.2.0.dist-info/METADATA": "Name: other\nVersion: 1.2.0\n"},
    )
    with pytest.raises(PolicyRefused, match="says that it is other 1"):
        admit(package_of(other), other)
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"PK")
    with pytest.raises(PolicyRefused, match="is no wheel"):
        admit(package_of(broken), broken)


def test_without_a_site_policy_the_wheel_beside_the_study_counts_or_the_installed_record(
    tmp_path: Path, site: Path
) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    install(wheel, site)
    study = study_with(package_of(wheel))
    admit_beside(study, tmp_path / "wheels")
    assert study.recipes[0].required.of_wheel
    alone = study_with(package_of(wheel))
    admit_beside(alone, tmp_path)
    assert not alone.recipes[0].required.of_wheel
    assert [fault for _, fault in recipe_notes(alone)] == [None]
    assert not study.with_seed(5).recipes[0].required.files.keys() ^ {
        *study.recipes[0].required.files
    }
    (site / "acme_recipes" / "__init__.py").write_text("x = 1\n")
    ((package, fault),) = recipe_notes(alone)
    assert package.distribution == NAME and "was changed" in str(fault)


def test_a_study_is_read_where_its_recipe_is_not_installed(tmp_path: Path) -> None:
    study = study_with(package_of(make_wheel(tmp_path / "wheels")))
    admit_beside(study, tmp_path)
    assert not study.recipes[0].is_at_hand
    ((_, fault),) = recipe_notes(study)
    assert "is not installed here" in str(fault)
    with pytest.raises(PolicyRefused, match="acme-recipes 1.2.0 is not at hand here"):
        _ = study.recipes[0].required
