"""A site file allows what it says and nothing else; every mistake is refused with its line."""

import json
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipelines.sources.clinical.clinical_source import FhirRecords, OmopRecords
from pipelines.sources.clinical.fhir.reading import ExportFacts
from pipelines.sources.clinical.omop.database import DatabaseTables
from pipelines.sources.clinical.omop.table_folder import TableFolder
from pipelines.sources.source import DatabaseQuery, RecordFile
from pipelines.sources.tables.dialect import FileDialect
from pipelines.sources.tables.sql.address import DatabaseAddress
from pipelines.sources.tables.sql.reading import QueryLimits
from protocol.errors import PolicyRefused, SiteFileRefused
from silos.config.policy import refusals
from silos.config.site_file import (
    Policy,
    Resources,
    read_site_file,
    site_file_of,
    site_schema,
    source_of,
)
from silos.config.site_template import site_template
from silos.isolation.remote_trainer import machine_of
from silos.training.worker_pool.cluster_address import ClusterAddress
from tests import ROOT
from tests.support.hospital.sites import SITE, changed_site, east
from tests.support.simulated.studies import small_study

MISTAKES = [
    ("networks: [F", "network: [F", 8, "policy.network: unknown key; did you mean 'networks'?"),
    ("FullyConnectedNet", "FullyConectedNet", 8, "did you mean 'FullyConnectedNet'?"),
    ("binary_classification", "diagnosis", 7, "policy.tasks[0]: must be one of binary_class"),
    ("[keyed_hash]", "[hash]", 10, "policy.splits[0]: must be one of keyed_hash, column, file"),
    ("[per_site]", "[none]", 13, "policy.modes[0]: input should be 'per_site' or 'distributed'"),
    ("sites: 3", "sites: 2", 11, "policy.sites: input should be greater than or equal to 3"),
    ("epsilon_at_most: 4", "epsilon_at_most: .inf", 14, "should be a finite number"),
    ("[to be tested]", "['!']", 6, "policy.purposes[0]: must hold a word"),
    ("needed: 1", "needed: 3", 5, "approvals_needed is 3, but only 2 approvers are named"),
    ("Prof. B. Medicine", "Dr. A. Officer", 5, "a person is named twice among the approvers"),
    ("https://localhost", "http://localhost", 3, "coordinator: must look like https://"),
    ("8443", "8443/x?y", 3, "coordinator: must look like https://"),
    ("8443", "84430", 3, "coordinator: must look like https://"),
    ("east.csv}", "east.csv, delimiter: '; '}", 4, "data.delimiter: string should have at most 1"),
    ("east.csv}", "east.csv, delimiter: '\"'}", 4, "data.delimiter: must be no quote"),
    ("east.csv}", "east.csv, encoding: utf-32}", 4, "data.encoding: input should be 'utf-8', "),
    ("east.csv}", "east.csv, decimal: ',', thousands: ','}", 4, "must not be the same mark"),
    ("east.csv", "'postgresql:///eicu'", 4, "data.path: is an address: name a file"),
    ("kind: file", "kind: odbc", 4, "data: 'kind' is 'odbc', not one of 'file'"),
    ("kind: file, path: east.csv", "kind: sql, query: q.sql", 4, "name the database by one of"),
    (
        "kind: file, path: east.csv",
        "kind: sql, query: q.sql, url_file: a, url_env: B",
        4,
        "name the database by one of url_file, url_env and url",
    ),
    ("kind: file", "kind: dump", 4, "data: 'kind' is 'dump', not one of 'file'"),
    ("kind: file, path", "kind: omop, path", 4, "data.path: this key does not belong here"),
    ("file, path: east.csv", "omop", 4, "data: write one of folder, url_file and url_env"),
    ("file, path: east.csv", "omop, folder: cdm, schema: cdm", 4, "schema is of a database"),
    ("file, path: east.csv", "omop, folder: a, url_env: CDM", 4, "write one of folder, url_file"),
    ("file, path: east.csv", "omop, url_env: 'a b'", 4, "data.url_env: string should match"),
    ("file, path: east.csv", "fhir", 4, "data.folder: this key is required and missing"),
    ("file, path: east.csv", "fhir, folder: a, time_zone: Mars", 4, "is no time zone such as"),
    ("file, path: east.csv", "fhir, folder: a, complete_until: May", 4, "data.complete_until: "),
    ("name: east", "name: coordinator", 1, "no hospital may be called coordinator"),
    ("1}", "1, hours: 20}", 18, "resources.hours: input should be a valid string"),
    ("1}", "1, hours: 20:00-25:00}", 18, "must look like 20:00-06:00, got '20:00-25:00'"),
    ("1}", "1, hours: 20:00-20:00}", 18, "is the whole day: leave hours out"),
    ("1}", "1, time_zone: ../etc}", 18, "is no time zone such as Europe/Berlin"),
    (
        "1}",
        "1, ray_address: '10.0.0.5', ray_token_file: t}",
        18,
        "ray_address: must look like ray-h",
    ),
    ("1}", "1, ray_address: 'h:65536', ray_token_file: t}", 18, "a name or an IPv4 address, and a"),
    ("1}", "1, ray_address: 'h:6379'}", 18, "ray_address and ray_token_file go together"),
    ("1}", "1, ray_token_file: t}", 18, "ray_address and ray_token_file go together"),
    (
        "1}",
        "1, ray_address: 'h:6379', ray_token_file: t, must_be_confined: true}",
        18,
        "must_be_confined is true, and ray_address names a cluster",
    ),
    ("collegium_site: 1", "collegium_site: 2", 1, "collegium_site: input should be 1, got 2"),
    ("name: east\n", "", 1, "name: this key is required and missing"),
]


@pytest.mark.parametrize(("old", "new", "line", "said"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_refused_with_its_line(old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(SiteFileRefused) as refusal:
        read_site_file(changed_site(old, new))
    assert f"site.yaml:{line}:" in str(refusal.value)
    assert said in str(refusal.value)


def test_broken_yaml_is_refused_with_line_and_column() -> None:
    with pytest.raises(SiteFileRefused, match=r"site.yaml:10:9: "):
        read_site_file(changed_site("[age, ward, patient, ill]", "[age"))


def test_tags_and_anchors_are_refused() -> None:
    with pytest.raises(SiteFileRefused, match="a site file has no anchors and aliases"):
        read_site_file(SITE.replace("[per_site]", "&x [per_site]"))


def test_a_site_file_that_is_wrong_allows_nothing() -> None:
    assert issubclass(SiteFileRefused, PolicyRefused)


def test_empty_lists_allow_nothing() -> None:
    where = {refusal.where for refusal in refusals(Policy(), small_study(), site="east")}
    assert where >= {"policy.purposes", "policy.tasks", "policy.networks", "policy.columns"}


def test_the_template_can_be_read_and_allows_nothing() -> None:
    site = read_site_file(site_template("east"))
    assert site.policy == Policy()
    assert site.resources == Resources()
    assert (site.coordinator, site.data) == (None, None)


def test_the_template_names_every_key_of_policy_and_resources() -> None:
    text = site_template("east", "https://localhost:8443")
    assert read_site_file(text).coordinator == "https://localhost:8443"
    for key in (*Policy.model_fields, *Resources.model_fields):
        assert f"  {key}:" in text or f"  # {key}:" in text, key


def test_a_home_without_a_site_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SiteFileRefused, match=r"cannot be read: .* collegium silo init makes one"):
        site_file_of(tmp_path)


def test_records_lie_beside_the_site_file_unless_their_path_is_whole(tmp_path: Path) -> None:
    assert source_of(east(), tmp_path) == RecordFile(path=tmp_path / "east.csv")
    elsewhere = read_site_file(changed_site("path: east.csv", "path: /srv/east.csv"))
    assert source_of(elsewhere, tmp_path) == RecordFile(path=Path("/srv/east.csv"))


def test_a_hospital_says_how_its_own_file_is_written(tmp_path: Path) -> None:
    text = changed_site("east.csv}", "east.csv, delimiter: ';', decimal: ',', encoding: latin-1}")
    written = FileDialect(delimiter=";", decimal=",", encoding="latin-1")
    found = source_of(read_site_file(text), tmp_path)
    assert found == RecordFile(path=tmp_path / "east.csv", dialect=written)


def test_a_site_file_says_where_a_database_and_its_query_are(tmp_path: Path) -> None:
    text = changed_site(
        "kind: file, path: east.csv", "kind: sql, url_file: u, query: q.sql, rows: 9"
    )
    assert source_of(read_site_file(text), tmp_path) == DatabaseQuery(
        address=DatabaseAddress(folder=tmp_path, url_file=tmp_path / "u"),
        query=tmp_path / "q.sql",
        limits=QueryLimits(seconds=600, rows=9),
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:Mueller-1951@db/ward",
        "postgresql://anna@db/ward?password=Mueller-1951",
        "postgresql://anna:Mueller-1951@x@db/ward",
        "Mueller-1951",
    ],
)
def test_a_password_in_the_site_file_is_refused_and_not_shown(url: str) -> None:
    text = changed_site("kind: file, path: east.csv", f"kind: sql, url: '{url}', query: q.sql")
    with pytest.raises(SiteFileRefused, match=r"url: holds a password.* chmod 600.*url_env") as no:
        read_site_file(text)
    assert "Mueller" not in str(no.value)


def test_an_address_in_the_wrong_place_is_not_shown() -> None:
    for before, after in (
        ("path: east.csv", "path: 'postgresql://anna:Mueller-1951@db/ward'"),
        ("name: east\n", "name: east\ndatabase: 'mysql://anna:Mueller-1951@db/ward'\n"),
    ):
        with pytest.raises(SiteFileRefused) as no:
            read_site_file(changed_site(before, after))
        assert "Mueller" not in str(no.value)


@pytest.mark.parametrize("named", ["url_file: cdm-url", "url_env: CDM_URL"])
def test_the_address_of_omop_tables_is_kept_as_a_querys_is(tmp_path: Path, named: str) -> None:
    text = changed_site("file, path: east.csv", f"omop, schema: cdm, {named}")
    source = source_of(read_site_file(text), tmp_path)
    assert isinstance(source, OmopRecords)
    kept = {"url_file": tmp_path / "cdm-url"} if "file" in named else {"url_env": "CDM_URL"}
    address = DatabaseAddress(folder=tmp_path, **kept)  # type: ignore[arg-type]
    assert source.tables("east") == DatabaseTables(address=address, site="east", schema="cdm")


def test_folders_are_taken_from_the_site_files(tmp_path: Path) -> None:
    site = read_site_file(changed_site("file, path: east.csv", "omop, folder: cdm"))
    source = source_of(site, tmp_path)
    assert isinstance(source, OmopRecords) and source.tables("east") == TableFolder(
        tmp_path / "cdm"
    )
    told = "fhir, folder: export, complete_until: '2024-12-31', time_zone: Europe/Berlin"
    facts = ExportFacts(
        complete_until=date(2024, 12, 31).toordinal(), zone=ZoneInfo("Europe/Berlin")
    )
    found = source_of(read_site_file(changed_site("file, path: east.csv", told)), tmp_path)
    assert found == FhirRecords(folder=tmp_path / "export", facts=facts)


def test_a_site_without_records_is_told_to_name_them(tmp_path: Path) -> None:
    site = read_site_file(changed_site("data: {kind: file, path: east.csv}\n", ""))
    with pytest.raises(SiteFileRefused, match="data is missing: say where the records lie"):
        source_of(site, tmp_path)


def test_the_schema_for_editors_is_the_one_in_docs() -> None:
    stored = json.loads((ROOT / "docs" / "site.schema.json").read_text())
    assert stored == json.loads(json.dumps(site_schema())), "make schema writes it again"


def test_on_a_cluster_each_worker_has_its_part_of_the_memory_and_a_gpu_of_its_own() -> None:
    named = "workers: 4, memory_gib: 8, gpu: true, ray_address: 'h:6379', ray_token_file: ray-token"
    machine = machine_of(
        Path("home"),
        read_site_file(f"collegium_site: 1\nname: east\nresources: {{{named}}}\n").resources,
    )
    assert machine.cluster == ClusterAddress(
        address="h:6379", token_file=Path("home") / "ray-token"
    )
    assert machine.shares.asked == {"CPU": 1, "GPU": 1, "memory": 2 << 30}
    assert (machine.shares.count, machine.shares.max_bytes) == (4, None)


def test_an_approver_whose_name_cannot_be_read_is_not_to_be_named() -> None:
    hidden = SITE.replace("Dr. A. Officer,", '"Dr.\\u202e A",', 1)
    assert not read_site_file(hidden).policy.name_approvers
    named = hidden.replace("policy:", "policy:\n  name_approvers: true", 1)
    with pytest.raises(SiteFileRefused, match="cannot be named: it cannot be read"):
        read_site_file(named)
