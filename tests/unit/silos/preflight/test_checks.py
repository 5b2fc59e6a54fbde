"""The preflight finds what stands in a study's way, and says what to do about it."""

import io
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from rich.console import Console

from collegium.output.console import answers
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.config.credentials import Credentials
from silos.database.approvals import approvals_of
from silos.database.database import open_hospital
from silos.operations.site import describe_request
from silos.preflight.checks import check_site
from silos.preflight.connectivity import Contact, reach
from silos.preflight.findings import Finding, ok, print_findings, warn
from silos.preflight.machine import size_of
from tests.bench.studies import imaging
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.hospital_home import MEDIC, OFFICER, enrol, make_east
from tests.support.hospital.preflight import NeverStarted, check_quickly, unreachable
from tests.support.hospital.sites import changed_site
from tests.support.networked.joining import joined
from tests.support.simulated.studies import STATISTICS_STUDY, TABLE_STUDY, changed, small_study


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def check(
    home: Path, study: Study | None = None, now: datetime | None = None
) -> dict[str, Finding]:
    found = check_quickly(home, study or small_study(), home.parent, now=now)
    return {entry.what: entry for entry in found.findings}


def check_with_training(home: Path, study: Study | None = None) -> dict[str, Finding]:
    """Starts the training process too."""
    found = check_site(home, study or small_study(), home.parent, reach=unreachable)
    return {entry.what: entry for entry in found.findings}


def approve(home: Path, study: Study, by: str = OFFICER) -> None:
    hospital = open_hospital(home / "hospital.db", site="east")
    approvals_of(hospital).approve(study.digest, approver=by, approvers=(OFFICER, MEDIC))
    hospital.close()


def test_a_fitting_study_is_ok_but_for_approval_and_certificate(home: Path) -> None:
    found = check_with_training(home)
    assert {what for what, entry in found.items() if entry.state == "bad"} == {
        "approval",
        "certificate",
    }
    assert "silo approve" in found["approval"].remedy
    assert "silo enrol" in found["certificate"].remedy


def test_the_records_alone_need_no_approval_and_no_certificate(home: Path) -> None:
    found = check_site(home, small_study(), home, records_only=True)
    assert "bad" not in {entry.state for entry in found.findings} and found.records.quality
    assert {"approval", "certificate"}.isdisjoint(entry.what for entry in found.findings)
    (home / "east.csv").write_text("age,ward,patient,ill\n")
    found = check_site(home, small_study(), home, records_only=True)
    assert "no-rows" in [entry.what for entry in found.findings if entry.state == "bad"]


def test_an_approved_study_says_who_approved_it(home: Path) -> None:
    approve(home, small_study())
    found = check(home)["approval"]
    assert (found.state, found.finding) == (
        "ok",
        f"digest {small_study().digest}, by {OFFICER}; 0 of 1 approved run used",
    )


def test_records_are_counted_and_never_shown(home: Path) -> None:
    said = check(home)["records"].finding
    assert said.startswith("40 fit the contract: ")
    found = re.search(r"(\d+|some) patients train, (\d+|fewer than 10) test$", said)
    assert found is not None  # which of them depends on the hospital's key
    assert "fewer" in said or int(found[1]) + int(found[2]) == 40


def test_the_split_is_made_with_the_hospitals_own_key(home: Path, tmp_path: Path) -> None:
    said = set()
    for place in range(6):
        other = tmp_path / str(place)
        other.mkdir()
        said.add(check(make_east(other))["records"].finding)
    assert len(said) > 1


def test_records_outside_the_contract_are_refused_without_a_value(home: Path) -> None:
    path = home / "east.csv"
    path.write_text(path.read_text() + "777.5,A,east-x,1\n")
    found = check(home)["outside-range"]
    assert found.state == "bad" and found.see == "docs/data-faults.md#outside-range"
    assert "column 'age'" in found.finding
    assert "777" not in found.finding


def test_missing_records_and_missing_site_file_are_told(home: Path) -> None:
    (home / "east.csv").unlink()
    assert "cannot be read" in check(home)["no-file"].finding
    (home / "site.yaml").write_text(changed_site("name: east", "nme: east"))
    found = check(home)
    assert list(found) == ["site file"]
    assert "nme: unknown key; did you mean 'name'?" in found["site file"].finding


def test_check_and_run_read_the_file_as_the_site_file_says_it_is_written(home: Path) -> None:
    path = home / "east.csv"
    path.write_text(path.read_text().replace(",", ";"))
    assert 'write delimiter: ";"' in check(home)["semicolon"].remedy
    (home / "site.yaml").write_text(changed_site("east.csv}", "east.csv, delimiter: ';'}"))
    assert check(home)["records"].state == "ok"
    assert joined(home, TABLE_STUDY).site == "east"


def test_a_site_file_of_another_hospital_is_refused(home: Path) -> None:
    (home / "site.yaml").write_text(changed_site("name: east", "name: north"))
    found = check(home)["site file"]
    assert (found.state, "belongs to hospital east" in found.finding) == ("bad", True)


def test_every_breach_of_the_policy_is_a_line_of_its_own(home: Path) -> None:
    found = check(home, read_study(changed("epsilon: 4", "epsilon: 5")))
    assert found["policy.epsilon_at_most"].state == "bad"
    assert "epsilon: 4" in found["policy.epsilon_at_most"].remedy


def test_a_statistics_study_is_allowed_by_name_and_shows_its_one_price(tmp_path: Path) -> None:
    counting = read_study(STATISTICS_STUDY)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(PolicyRefused, match="if you allow it, add statistics"):
        describe_request(make_east(other), counting)
    home = make_east(
        tmp_path, site=changed_site("tasks: [binary_classification]", "tasks: [statistics]")
    )
    found = check(home, counting)
    assert found["records"].finding == "40 fit the contract: 40 patients are counted"
    assert found["budget"].state == "ok"
    assert "over all studies, the counts for every patient, once" in found["budget"].finding
    told = dict(describe_request(home, counting))
    assert told["network"] == "none: columns are counted"
    assert told["work"] == "every patient is counted, of training and of tests alike: once"
    assert "each patient: epsilon 4" in told["privacy"]
    assert "evaluation" not in told["privacy"]


def test_a_hospital_smaller_than_its_own_policy_is_told(home: Path) -> None:
    (home / "site.yaml").write_text(changed_site("patients: 20", "patients: 30"))
    assert "below-the-policy" not in check(home)
    study = read_study(changed("{name: east, records: east.csv, patients: 40}",
                               "{name: east, patients: 60}")
                       .replace(", records: north.csv", "").replace(", records: south.csv", "")
                       .replace(", records: west.csv", ""))  # fmt: skip
    (home / "site.yaml").write_text(changed_site("patients: 20", "patients: 50"))
    assert check(home, study)["below-the-policy"].finding == (
        "fewer patients than the policy asks for, 50"
    )


def declaring(patients: int) -> Study:
    """The small study with another declared number for east, which has 40 patients."""
    return read_study(changed("east.csv, patients: 40", f"east.csv, patients: {patients}"))


def test_a_hospital_larger_than_declared_is_told_before_the_run(home: Path) -> None:
    found = check(home, declaring(20))["more-patients-than-declared"]
    assert (found.state, "the study declares 20 for it" in found.finding) == ("bad", True)


def test_a_declared_number_far_above_the_truth_is_a_warning(home: Path) -> None:
    name = "fewer-patients-than-declared"
    assert name not in check(home)
    found = check(home, declaring(80))[name]
    assert (found.state, "the study declares, 80" in found.finding) == ("warn", True)


def test_a_budget_that_does_not_suffice_is_forecast(tmp_path: Path) -> None:
    found = check(make_east(tmp_path, budget=1.0))["budget"]
    assert found.state == "bad"
    assert "100 % is left: it does NOT fit; each patient is promised" in found.finding


def test_a_study_has_one_price_in_one_sentence(tmp_path: Path) -> None:
    """What the ledger books, what is claimed, and why the two differ."""
    said = check(make_east(tmp_path))["budget"].finding
    assert said.startswith("this study takes ") and said.count(". ") == 0
    assert "each patient is promised epsilon 4 at delta 1e-3 in this study alone; the" in said
    assert "the budget counts what adds up over all studies, training and evaluation" in said
    assert said.count("epsilon") == 1


def test_a_hospital_without_a_budget_is_told_to_open_one(tmp_path: Path) -> None:
    found = check(make_east(tmp_path, budget=None))["budget"]
    assert (found.state, "silo grant" in found.remedy) == ("bad", True)


def test_a_quorum_without_room_for_a_drop_out_is_a_warning(home: Path) -> None:
    assert "1 may drop out" in check(home)["quorum"].finding
    found = check(home, read_study(changed("threshold: 3", "threshold: 4")))["quorum"]
    assert (found.state, "0 may drop out" in found.finding) == ("warn", True)


def test_closed_hours_are_a_warning(home: Path) -> None:
    (home / "site.yaml").write_text(changed_site("gib: 1}", "gib: 1, hours: 20:00-06:00}"))
    noon = datetime.now(UTC).replace(hour=12)
    assert check(home, now=noon)["hours"].state == "warn"
    assert check(home, now=noon.replace(hour=23))["hours"].state == "ok"


def test_too_many_workers_and_too_little_memory_are_warnings(home: Path) -> None:
    greedy = "{workers: 64, threads: 256, memory_gib: 65536}"
    (home / "site.yaml").write_text(changed_site("{workers: 1, threads: 1, memory_gib: 1}", greedy))
    found = check_with_training(home)
    assert (found["cores"].state, found["memory"].state) == ("warn", "warn")


GPU = "{workers: 1, threads: 1, memory_gib: 1, gpu: true, gpu_memory_gib: 2}"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_stands_in_the_way(home: Path) -> None:
    (home / "site.yaml").write_text(changed_site("{workers: 1, threads: 1, memory_gib: 1}", GPU))
    found = check_with_training(home)
    assert found["GPU"].state == "bad" and "step" not in found
    assert found["GPU"].finding.startswith("no GPU is found")
    assert found["GPU"].remedy.endswith("or set resources.gpu: false")


def test_a_ray_cluster_that_does_not_answer_stands_in_the_way_and_what_is_open_is_said(
    home: Path,
) -> None:
    (home / "ray-token").write_text("0123456789abcdef")
    (home / "ray-token").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    named = f"{{ray_address: '{address}', ray_token_file: ray-token}}"
    (home / "site.yaml").write_text(changed_site("{workers: 1, threads: 1, memory_gib: 1}", named))
    found = check_with_training(home)
    assert found["Ray cluster"].state == "bad" and "memory" not in found
    assert found["Ray cluster"].finding.startswith(f"nobody listens at {address}")
    assert found["training"].state == "warn"
    assert "REACHES the network, as resources.ray_address needs" in found["training"].finding


@pytest.mark.long
def test_a_step_on_images_is_tried_in_the_memory_that_it_may_use(home: Path) -> None:
    found = check_with_training(home, imaging(side=16, micro_batch=8, patients=8))["step"]
    assert found.state == "ok"
    assert found.finding == "8 patients with 1 record each fit at once; gradients by 'layers'"
    found = check_with_training(home, imaging(side=1024, micro_batch=64, patients=64))["step"]
    assert found.state == "bad"
    assert found.finding.startswith("a micro-batch of 64 patients with 1 record each needs more")
    assert "smaller training.micro_batch, images, augmentation.copies or network" in found.finding


def test_what_the_other_members_must_show_is_told(home: Path) -> None:
    asked = "needed: 1\n  attestation: {installed: [tee]}"
    (home / "site.yaml").write_text(changed_site("needed: 1", asked))
    found = check(home)["attestation"]
    assert (found.state, "install the package that brings it" in found.finding) == ("bad", True)
    machines = f"{{measurements: ['{'0' * 96}'], least_tcb: '{'0' * 32}'}}"
    asked = f"needed: 1\n  attestation: {{tdx: {machines}}}"
    (home / "site.yaml").write_text(changed_site("needed: 1", asked))
    found = check(home)["attestation"]
    assert found.finding == "the other members must show evidence of the kind tdx in each run"


def test_a_machine_without_a_tee_is_told_whom_that_keeps_away(home: Path) -> None:
    found = check(home)["TEE"]
    assert found.state == "ok"
    assert found.finding.startswith("none: hospitals whose policy asks for one share nothing")


def test_nothing_is_changed_by_looking(home: Path) -> None:
    before = (home / "hospital.db").read_bytes()
    check(home)
    assert (home / "hospital.db").read_bytes() == before


@pytest.mark.parametrize(("hidden", "size"), [("[]", 4), ("[4]", 4 * 4 + 5)])
def test_parameters_are_counted_without_building_the_network(hidden: str, size: int) -> None:
    assert (
        size_of(read_study(changed("hidden_channels: [4]", f"hidden_channels: {hidden}"))) == size
    )


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[ConsortiumHome]:
    opened = ConsortiumHome(tmp_path / "coordinator")
    yield opened
    opened.store.close()


def line(home: Path, contact: Contact, now: datetime) -> dict[str, Finding]:
    found = check_site(
        home,
        small_study(),
        home.parent,
        reach=lambda _url, _context: contact,
        start=NeverStarted,
        now=now,
    )
    return {entry.what: entry for entry in found.findings}


@pytest.mark.parametrize(("skew", "state"), [(5, "ok"), (120, "warn"), (-400, "bad")])
def test_the_clock_is_compared_with_the_coordinators(
    home: Path, consortium: ConsortiumHome, skew: int, state: str
) -> None:
    enrol(home, consortium)
    now = datetime.now(UTC)
    contact = Contact(findings=(ok("line", "x"),), time=now + timedelta(seconds=skew))
    found = line(home, contact, now)
    assert (found["clock"].state, found["certificate"].state) == (state, "ok")
    assert found["clock"].finding == f"{abs(skew)} seconds from the coordinator's"


@pytest.mark.parametrize(
    ("days", "state", "said"), [(0, "ok", "days"), (6, "warn", "good"), (8, "bad", "expired at")]
)
def test_a_certificate_near_its_end_is_told(
    home: Path, consortium: ConsortiumHome, days: int, state: str, said: str
) -> None:
    enrol(home, consortium)
    now = datetime.now(UTC) + timedelta(days=days)
    found = line(home, Contact(findings=()), now)["certificate"]
    assert (found.state, said in found.finding) == (state, True)


class Health(BaseHTTPRequestHandler):
    """Answers as a coordinator's health page does."""

    code = 200

    def do_GET(self) -> None:
        self.send_response(self.code if self.path == "/healthz" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(context: ssl.SSLContext | None, code: int = 200) -> Iterator[int]:
    """Serves a health page on loopback; yields its port."""
    handler = type("Answer", (Health,), {"code": code})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def credentials(
    home: Path, consortium: ConsortiumHome, monkeypatch: pytest.MonkeyPatch
) -> Credentials:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return enrol(home, consortium)


def states(contact: Contact) -> dict[str, str]:
    return {entry.what: entry.state for entry in contact.findings}


def test_a_coordinator_that_answers_is_ok_and_tells_its_time(
    consortium: ConsortiumHome, credentials: Credentials
) -> None:
    with served(consortium.authority.server_context()) as port:
        contact = reach(f"https://localhost:{port}", credentials.context())
    assert states(contact) == {"line": "ok", "TLS": "ok", "coordinator": "ok"}
    assert contact.time is not None
    assert abs((contact.time - datetime.now(UTC)).total_seconds()) < 60


def test_a_coordinator_in_trouble_is_told(
    consortium: ConsortiumHome, credentials: Credentials
) -> None:
    with served(consortium.authority.server_context(), code=503) as port:
        contact = reach(f"https://localhost:{port}", credentials.context())
    assert contact.findings[-1].finding == "/healthz answers 503"


def other_consortium(folder: Path) -> ssl.SSLContext:
    other = ConsortiumHome(folder / "other")
    other.store.close()
    return other.authority.server_context()


def plain_http(_folder: Path) -> None:
    return None


@pytest.mark.parametrize(
    ("server", "said", "remedy"),
    [
        (other_consortium, "is not of this consortium", "a proxy that opens TLS"),
        (plain_http, "TLS 1.3", "mend the port"),
    ],
)
def test_what_is_not_the_coordinator_is_told_with_a_remedy(
    tmp_path: Path,
    credentials: Credentials,
    server: Callable[[Path], ssl.SSLContext | None],
    said: str,
    remedy: str,
) -> None:
    with served(server(tmp_path)) as port:
        contact = reach(f"https://localhost:{port}", credentials.context())
    problem = contact.findings[-1]
    assert (problem.what, problem.state) == ("TLS", "bad")
    assert said in problem.finding
    assert remedy in problem.remedy


def test_a_closed_port_is_told(credentials: Credentials) -> None:
    with served(None) as port:
        pass
    contact = reach(f"https://localhost:{port}", credentials.context())
    assert states(contact) == {"line": "bad"}
    assert f"allow outbound TCP to localhost:{port}" in contact.findings[0].remedy


def test_a_proxy_that_is_not_there_is_named(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(None) as port:
        pass
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    contact = reach("https://collegium.invalid:8443", credentials.context())
    assert "the proxy 127.0.0.1" in contact.findings[0].finding


def test_a_proxy_that_lets_nothing_through_is_told(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(None) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        contact = reach("https://collegium.invalid:8443", credentials.context())
    assert states(contact) == {"line": "ok", "proxy": "bad"}
    assert "without opening TLS" in contact.findings[-1].remedy


def test_a_name_without_an_address_is_told(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_arguments: object, **_options: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", lost)
    contact = reach("https://collegium.invalid:8443", credentials.context())
    assert states(contact) == {"name": "bad"}
    assert "mend coordinator in the site file" in contact.findings[0].remedy


def test_findings_and_remedies_stand_within_the_width_of_their_page() -> None:
    long = "a certificate that ends soon, of the authority that the roster names, " * 3
    screen = Console(record=True, width=100, file=io.StringIO())
    print_findings([warn("certificate", long, long), ok("line", long)], screen)
    lines = screen.export_text().splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) > 8
    for in_a_pipe in (100, 300):
        assert answers(in_a_pipe=in_a_pipe).width == in_a_pipe
