"""Hospitals on a network: the run of one process, over TLS, with supervisors and a service."""

import socket
import ssl
from pathlib import Path

import pytest

from compliance.governance.acts import ActRequest
from coordinator.membership.directory import open_members
from coordinator.runs.admin_socket.answering import controlling
from coordinator.runs.person_acts import perform
from coordinator.runs.resources import RunTimeouts
from coordinator.runs.service import Service
from pipelines.sources.tables.dialect import FileDialect
from protocol.errors import PolicyRefused
from protocol.identity.timestamps import read_time
from protocol.study.study_file import read_study
from protocol.transport.requests import PROOF_HEADER
from protocol.vectors.tensors import model_digest
from silos.config.credentials import Credentials
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import QUICK, Network, Site, until
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import changed, small_study
from tests.system.network.test_signed_replies import line


def test_network_gives_the_model_that_one_process_gives(tmp_path: Path) -> None:
    """Also where a hospital's file is written otherwise than the study says."""
    study = small_study()
    (tmp_path / "one").mkdir()
    alone = Federation(tmp_path / "one", study, fixed_noise=study.seeds.model).run()
    network = Network(tmp_path, study)
    north = network.sites["north"]
    north.source.write_text(north.source.read_text().replace(",", ";"))
    north.dialect = FileDialect(delimiter=";")
    with network.serving():
        network.start_sites()
        row = network.row(network.run())
    assert row.state == "finished", row.failure
    assert row.model_digest == model_digest(alone.model)
    assert not [site.failures for site in network.sites.values() if site.failures]


@pytest.mark.long
def test_run_outlives_a_line_that_is_gone_for_most_hospitals(tmp_path: Path) -> None:
    study = read_study(changed("rounds: 2", "rounds: 4"))
    network = Network(
        tmp_path, study, pace=RunTimeouts(joining=PATIENCE, step=5, patience=PATIENCE)
    )
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run_id) >= 1)
        for name in ("east", "north"):  # two of four are gone: too few are left
            network.sites[name].stop()
        until(lambda: bool(network.blocked_reason(run_id)))
        for name in ("east", "north"):
            network.sites[name].start()
        network.service.wait(run_id, PATIENCE)
        row = network.row(run_id)
    assert row.state == "finished", row.failure


@pytest.mark.long
def test_pause_outlives_the_service(tmp_path: Path) -> None:
    network = Network(tmp_path, read_study(changed("rounds: 2", "rounds: 6")))
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(network.study.digest, test_noise=True)
        network.service.steer(run_id, "pause")
    network.service = Service(network.home, QUICK)
    with network.serving():
        assert network.service.resume_runs() == [run_id]
        assert network.service.status()["runs"][0]["paused"] is True
        network.start_sites()
        network.service.steer(run_id, "resume")
        network.service.wait(run_id, PATIENCE)
        row = network.row(run_id)
    assert row.state == "finished", row.failure


def half_an_answer(site: Site, port: int) -> ssl.SSLSocket:
    """Returns a line on which a request's header was sent, and nothing of its body."""
    wire, body = line(site, f"https://127.0.0.1:{port}"), b"too late"
    proof = wire._headers("POST", "/v1/answers", body)[PROOF_HEADER]
    wire.close()
    tls = Credentials(site.home / "tls", site.name).context()
    sent = tls.wrap_socket(
        socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1"
    )
    head = ["POST /v1/answers HTTP/1.1", "host: 127.0.0.1", f"{PROOF_HEADER}: {proof}"]
    sent.sendall("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode())
    return sent


def test_a_normal_stop_is_quiet_and_hospitals_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When the service ends every hospital waits for a delivery, and an answer is on its way."""
    network = Network(tmp_path, small_study())
    with network.serving():
        pass  # the consortium is founded
    for site in network.sites.values():
        site.wait_seconds = 50
    everybody = len(network.sites)
    with caplog.at_level("INFO"):
        for _ in range(2):
            network.service = Service(network.home, QUICK)
            counts = network.service.counts
            with network.service.serving("127.0.0.1", network.port):
                if not any(site.is_alive for site in network.sites.values()):
                    network.start_sites()
                until(
                    lambda counts=counts: (  # type: ignore[misc]
                        counts.get_sample_value("collegium_waiting_sites") == everybody
                    )
                )
                late = half_an_answer(network.sites["east"], network.port)
            late.close()
        for site in network.sites.values():
            site.stop()
    told = [record for record in caplog.records if record.exc_info]
    assert not told, told[0].getMessage()
    assert "500 Internal" not in caplog.text
    assert not [site.failures for site in network.sites.values() if site.failures]


def test_revoked_hospital_is_in_no_new_run(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    with network.serving():
        with open_members(network.home) as members:
            members.revoke("east", "a laptop was stolen")
        with pytest.raises(PolicyRefused, match="east was revoked: propose a roster without it"):
            network.service.start_run(network.study.digest)


def started(digest: str, *, again: bool = False) -> ActRequest:
    details = {"again": again}
    return ActRequest(action="run.start", subject_kind="study", subject=digest, details=details)


def test_a_study_that_is_at_work_is_begun_again_only_when_it_is_said_twice(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    service, digest = network.service, network.study.digest
    with network.serving(), controlling(service, network.home):
        begun = perform(network.home, started(digest), None)["run_id"]
        with pytest.raises(PolicyRefused, match=f"run {begun} of small is at work.*say --again"):
            perform(network.home, started(digest), None)
        second = perform(network.home, started(digest, again=True), None)["run_id"]
        assert {run["run_id"] for run in service.status()["runs"]} == {begun, second}
        for run in (begun, second):
            service.steer(run, "stop")
            service.wait(run, PATIENCE)
        third = service.start_run(digest)
        service.steer(third, "stop")


@pytest.mark.long
def test_trainer_that_breaks_costs_its_hospital_the_run_and_nobody_else(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())

    def broken(*_given: object) -> LinearTrainer:
        raise RuntimeError("a driver is missing")

    network.sites["west"].make_trainer = broken  # type: ignore[assignment]
    with network.serving():
        network.start_sites()
        row = network.row(network.run())
        west = network.sites["west"]
        assert west.thread is not None and west.thread.is_alive() and not west.failures
    assert row.state == "finished", row.failure
    assert "west" not in row.sites_json


@pytest.mark.long
def test_a_hospital_that_is_gone_holds_one_step_and_is_taken_back_when_it_returns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It never answers again; nobody waits for it twice, and the wait is told."""
    step = 15.0
    study = read_study(changed("rounds: 2", "rounds: 400"))
    network = Network(
        tmp_path, study, pace=RunTimeouts(joining=PATIENCE, step=step, patience=PATIENCE)
    )
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run_id) >= 2)
        network.sites["west"].stop()
        until(lambda: bool(network.status(run_id).get("asked")))
        waiting = network.status(run_id)
        until(lambda: network.listed()[0].progress.asked)
        (listed_waiting,) = network.listed()
        until(lambda: "west" in network.status(run_id)["silent"])
        before = network.rounds_finished(run_id)
        until(lambda: network.rounds_finished(run_id) >= before + 5)
        told, (listed,) = network.status(run_id), network.listed()
        network.sites["west"].start()
        until(lambda: "west" in network.rounds(run_id)[-1][0])
        network.service.steer(run_id, "stop")
        network.service.wait(run_id, PATIENCE)
        (ended,) = network.listed()
    assert (told["state"], told["rounds"], told["joined"]) == (
        "running",
        400,
        sorted(network.sites),
    )
    assert (waiting["state"], waiting["seconds_left"], waiting["silent"]) == ("waiting", None, {})
    assert list(waiting["asked"]) == ["west"]
    limit = read_time(waiting["until"]) - read_time(waiting["asked"]["west"])
    assert abs(limit.total_seconds() - step) <= 1
    assert waiting["waits_for"].startswith("for west, asked at ")
    assert listed_waiting.progress is not None
    assert listed_waiting.progress.waits_for == waiting["waits_for"]
    (begun,) = [line for line in caplog.messages if "waits for west, silent for" in line]
    (on,) = [line for line in caplog.messages if "no answer from west within" in line]
    assert begun.startswith(f"run {run_id} ")
    assert on.endswith("the round goes on without")
    assert (told["waits_for"], told["asked"]) == ("", {})
    assert told["silent"]["west"]
    assert told["seconds_left"] > 0
    assert told["round"] > before
    assert listed.state == "running"
    assert listed.progress is not None and set(listed.progress.silent) == {"west"}
    assert (ended.state, ended.progress) == ("stopped", None)
    rounds = network.rounds(run_id)
    without = [place for place, (sites, _) in enumerate(rounds) if "west" not in sites]
    assert 5 <= len(without) == without[-1] - without[0] + 1  # gone, and then back for good
    assert len([place for place in without if rounds[place][1] >= step]) <= 1


@pytest.mark.long
def test_a_run_without_enough_hospitals_waits_and_says_for_whom(tmp_path: Path) -> None:
    study = read_study(changed("rounds: 2", "rounds: 400"))
    network = Network(
        tmp_path, study, pace=RunTimeouts(joining=PATIENCE, step=5, patience=PATIENCE)
    )
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run_id) >= 1)
        for name in ("east", "west"):
            network.sites[name].stop()
        until(lambda: "waits for east, west" in network.blocked_reason(run_id))
        told, before = network.status(run_id), network.rounds_finished(run_id)
        network.sites["east"].start()
        until(lambda: network.rounds_finished(run_id) > before)
        network.service.steer(run_id, "stop")
        network.service.wait(run_id, PATIENCE)
    assert told["state"] == "waiting"
    assert set(told["silent"]) == {"east", "west"}
