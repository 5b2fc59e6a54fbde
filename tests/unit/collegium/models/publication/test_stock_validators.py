"""The stock validators of RO-Crate and Croissant on what is written here, without a network.

They run in processes of their own, where nothing of Collegium can be imported. The validator of
RO-Crate asks its HTTP cache for the JSON-LD context alone; that of RO-Crate 1.1, which the package
``rocrate`` holds, is put there before.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from collegium.models.publication.crate import CrateRequest, CrateTerms, write_crate
from collegium.models.publication.croissant import (
    DatasetTerms,
    croissant_bytes,
    hospital_dataset,
    study_dataset,
)
from collegium.studies.bundled import bundled_study
from protocol.study.study_file import read_study, read_study_file
from silos.patients.own_records import freeze_cohort
from tests.structure.floors import ROOT
from tests.support.hospital.hospital_home import make_east
from tests.support.simulated.finished_run import RUN
from tests.support.simulated.studies import SURVIVAL_STUDY, TABLE_STUDY

#: Where ``make test`` unpacks the packages of ``tests/support/ro-crate.lock``.
STOCK = Path(sys.prefix, "share", "ro-crate")
_ALONE = """
import importlib.util, json, sys
sys.path[:] = [sys.argv[1], *(p for p in sys.path if p), sys.argv[2]]
ours = ("collegium", "pipelines", "protocol", "silos", "coordinator", "compliance")
assert not [name for name in ours if importlib.util.find_spec(name)], "our own code can be imported"
"""
_CRATES = """
import io
from pathlib import Path
import requests, requests_cache, urllib3
context, cache = Path(sys.argv[1], "rocrate/data/ro-crate.jsonld").read_bytes(), sys.argv[3]
wanted = {"Accept": "application/ld+json, application/json, */*;q=0.1"}
found = requests.Response()
found.url, found.status_code, found._content = "https://w3id.org/ro/crate/1.1/context", 200, context
found.request = requests.Request("GET", found.url, headers=wanted).prepare()
found.headers["Content-Type"], found.encoding, found.reason = "application/ld+json", "utf-8", "OK"
found.raw = urllib3.HTTPResponse(
    io.BytesIO(context), headers=dict(found.headers), status=200, preload_content=False,
    request_url=found.url,
)
with requests_cache.CachedSession(cache_name=cache, backend="sqlite", expire_after=-1) as session:
    session.cache.save_response(found)
from rocrate_validator.cli import cli
for crate in sys.argv[5:]:
    words = ["validate", "--offline", "--cache-path", cache, "--profile-identifier",
             "process-run-crate", "--requirement-severity", sys.argv[4], "--no-paging", "-v",
             "-f", "json", "-o", f"{crate}.report.json", crate]
    try:
        cli(words, standalone_mode=False)
    except SystemExit:
        pass
"""
#: No file of JSON is read, so what reads them may be missing; see the lock.
_CROISSANTS = """
import logging, types
sys.modules["jsonpath_rw"] = parts = types.ModuleType("jsonpath_rw")
parts.parse = None
sys.modules["jsonpath_rw.lexer"] = types.ModuleType("jsonpath_rw.lexer")
import mlcroissant
for path in sys.argv[3:]:
    found = mlcroissant.Dataset(jsonld=path).metadata
    issues = [str(one) for one in found.ctx.issues.errors]
    said = [[f.id, [str(t) for t in f.data_types]] for r in found.record_sets for f in r.fields]
    print(json.dumps({"name": found.name, "errors": issues, "fields": said}))
"""


def _alone(script: str, *words: object) -> str:
    if not (STOCK / "rocrate_validator").is_dir():
        pytest.skip("make test installs the packages of tests/support/ro-crate.lock")
    site = sysconfig.get_paths()["purelib"]
    done = subprocess.run(
        [sys.executable, "-S", "-c", _ALONE + script, str(STOCK), site, *map(str, words)],
        cwd="/", capture_output=True, text=True, timeout=300, env={"HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _reports(folder: Path, severity: str, *crates: Path) -> list[dict[str, Any]]:
    """Returns what the validator says of each crate."""
    _alone(_CRATES, folder / "http", severity, *crates)
    return [json.loads(Path(f"{crate}.report.json").read_bytes()) for crate in crates]


def _messages(report: dict[str, Any]) -> set[str]:
    return {f"{issue['severity']}: {issue['message']}" for issue in report["issues"]}


@pytest.fixture(scope="module")
def addressed(promised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crate with the web address of everybody."""
    to = tmp_path_factory.mktemp("addressed") / "crate"
    names = ("east", "north", "south", "west", "consortium", "collegium")
    terms = CrateTerms(urls={name: f"https://{name}.example.org" for name in names})
    write_crate(promised, CrateRequest(run=RUN, to=to, terms=terms), None)
    return to


def test_a_crate_passes_its_profiles_in_all_that_is_required_and_recommended(
    addressed: Path, tmp_path: Path
) -> None:
    """A crate without the software that was used is refused, so that the check can fail."""
    spoilt = Path(shutil.copytree(addressed, tmp_path / "spoilt"))
    said = json.loads((spoilt / "ro-crate-metadata.json").read_bytes())
    run = next(one for one in said["@graph"] if one["@id"] == "#run")
    del run["instrument"]
    (spoilt / "ro-crate-metadata.json").write_text(json.dumps(said))
    whole, other = _reports(tmp_path, "RECOMMENDED", addressed, spoilt)
    assert _messages(whole) == set() and whole["passed"]
    assert {*whole["statistics"]["profiles"]} == {"process-run-crate-0.5", "ro-crate-1.1"}
    assert whole["statistics"]["total_checks_by_severity"]["REQUIRED"] >= 40
    assert not other["passed"]
    assert any(one.startswith("REQUIRED: The Action MUST have") for one in _messages(other))


@pytest.mark.long
def test_without_addresses_only_these_are_missing_among_what_is_recommended(
    whole_crate: Path, tmp_path: Path
) -> None:
    crate = Path(shutil.copytree(whole_crate, tmp_path / "crate"))
    (report,) = _reports(tmp_path, "RECOMMENDED", crate)
    assert _messages(report) == {
        "RECOMMENDED: The organization SHOULD have a URL.",
        "RECOMMENDED: The Application SHOULD have a url",
        "RECOMMENDED: The SoftwareApplication id SHOULD be an absolute URI",
    }


def test_the_stock_reader_of_croissant_accepts_descriptions(tmp_path: Path) -> None:
    terms = DatasetTerms(published="2026-01-31")
    home, study = make_east(tmp_path), read_study(TABLE_STUDY)
    freeze_cohort(home, study, tmp_path, by="Ada")
    found = {
        "cohort": study_dataset(study, terms),
        "survival": study_dataset(read_study(SURVIVAL_STUDY), terms),
        "heart": study_dataset(bundled_study("heart-disease").study, terms),
        "images": study_dataset(
            read_study_file(ROOT / "examples" / "pneumonia" / "study.yaml"), terms
        ),
        "own": hospital_dataset(home, study, terms),
    }
    for name, dataset in found.items():
        (tmp_path / f"{name}.json").write_bytes(croissant_bytes(dataset))
    paths = [tmp_path / f"{name}.json" for name in found]
    read = [json.loads(line) for line in _alone(_CROISSANTS, *paths).splitlines()]
    assert [one["errors"] for one in read] == [[]] * len(found)
    assert [one["name"] for one in read] == [dataset["name"] for dataset in found.values()]
    types = dict(read[0]["fields"])
    assert types["records/age"] == ["https://schema.org/Float"]
    assert "http://mlcommons.org/croissant/Label" in types["records/ill"]
