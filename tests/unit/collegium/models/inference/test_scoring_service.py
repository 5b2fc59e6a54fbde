"""The service: who may ask, what is refused before it is read, and that alarms are told."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from collegium.models.inference.access_tokens import AccessTokens, add_token
from collegium.models.inference.requests import MOST_RECORDS, RequestScoring
from collegium.models.inference.scoring_place import ModelPlace, ScoringPlace, scoring_place
from collegium.models.inference.service import ALARM_HEADER, MAX_BODY, ScoringService
from collegium.models.inference.serving import ServicePlace, server_of
from collegium.output.http.header_limits import HeaderLimitedProtocol
from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.study.study_file import read_study
from silos.results.inference.query_log import QueryLog
from tests.bench.studies import imaging
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.rosters import COORDINATOR_KEY
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.exported_model import export
from tests.support.simulated.studies import changed, small_study

RECORD = {"age": 50, "ward": "A"}


class Served:
    """The application over one hospital's folder, with what it complained about."""

    def __init__(self, folder: Path, place: ScoringPlace) -> None:
        self.home, self.place, self.said = folder / "east", place, list[str]()
        self.tokens = self.home / "inference" / "tokens"
        self.token = add_token(self.tokens, "ward-3")
        service = ScoringService(RequestScoring(place), AccessTokens(self.tokens), self.said.append)
        self.client = TestClient(service.app)

    def post(self, records: Any, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}"}
        return self.client.post("/score", json={"records": records}, headers=headers, **more)


def place_in(folder: Path, study: Any = None) -> ScoringPlace:
    model = export(folder / "model", study or small_study())
    home = make_east(folder)
    return scoring_place(ModelPlace(folder=model, home=home, key=COORDINATOR_KEY.public))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    found = Served(tmp_path, place_in(tmp_path))
    with found.client:
        yield found


def test_records_are_scored_marked_or_refused_one_by_one(served: Served) -> None:
    reply = served.post([RECORD, {"age": 300, "ward": "A"}, {"age": "50", "ward": "A"}])
    assert reply.status_code == 200 and ALARM_HEADER not in reply.headers
    first, second, third = reply.json()["results"]
    assert first == third and 0 < first["risk"] < 1 and first["remarks"] == []
    assert second == {"faults": ["age: outside the range [0, 120] [outside-range]"]}
    assert reply.json()["model"] == served.place.model.digest
    assert reply.headers["cache-control"] == "no-store"
    (entry,) = QueryLog(served.home).entries()
    assert (entry.caller, entry.records, entry.refused) == ("ward-3", 2, 1)


def test_without_a_token_nothing_is_told(served: Served) -> None:
    assert served.client.get("/healthz").json() == {"alive": True}
    for sent in ("", "Bearer ", f"Bearer {'x' * 43}", f"Basic {served.token}"):
        for reply in (
            served.client.post(
                "/score", json={"records": [RECORD]}, headers={"authorization": sent}
            ),
            served.client.get("/model", headers={"authorization": sent}),
        ):
            assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer"
    assert QueryLog(served.home).entries() == []
    held = {"authorization": f"Bearer {served.token}"}
    told = served.client.get("/model", headers=held).json()
    assert [one["name"] for one in told["columns"]] == ["age", "ward"]
    assert told["scores"] == ["risk", "positive"] and told["most_records"] == MOST_RECORDS


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"records": []}', b'{"records": [1]}', b'{"records": [{"age": NaN}]}',
        b'{"records": [{}], "records": [{}]}', b'{"records": [{"ill": 1}]}', b"[" * 10_000,
        json.dumps({"records": [RECORD] * (MOST_RECORDS + 1)}).encode(), b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_not_logged(served: Served, body: bytes) -> None:
    headers = {"authorization": f"Bearer {served.token}", "content-type": "application/json"}
    reply = served.client.post("/score", content=body, headers=headers)
    assert reply.status_code == 400 and reply.json()["error"]
    assert QueryLog(served.home).entries() == []


def test_another_kind_of_body_or_a_larger_one_is_refused(served: Served) -> None:
    headers = {"authorization": f"Bearer {served.token}"}
    reply = served.client.post("/score", content=b"age=50", headers=headers)
    assert reply.status_code == 415
    headers["content-type"] = "application/json"
    reply = served.client.post("/score", content=b" " * (MAX_BODY + 1), headers=headers)
    assert reply.status_code == 413
    assert served.client.get("/score").status_code == 405
    assert served.client.get("/docs").status_code == 404


def test_an_alarm_is_told_in_a_header_in_the_log_and_to_the_people_there(tmp_path: Path) -> None:
    more = "{name: weight, kind: number, range: [0, 300]}\n    - {name: ward, kind"
    study = read_study(changed("{name: ward, kind", more))
    found = Served(tmp_path, place_in(tmp_path, study))
    swept = [{"age": age, "weight": 70, "ward": "A"} for age in range(20, 100, 10)]
    with found.client:
        assert ALARM_HEADER not in found.post(swept[:4]).headers
        reply = found.post(swept[4:])
    assert reply.headers[ALARM_HEADER] == "one-input-line" and reply.status_code == 200
    assert [one.alarms for one in QueryLog(found.home).entries()] == [(), ("one-input-line",)]
    assert len(found.said) == 1 and "ward-3" in found.said[0]


def test_nothing_is_scored_where_it_cannot_be_logged(served: Served) -> None:
    (served.home / "inference" / "queries.log").write_bytes(b"spoilt\n")
    reply = served.post([RECORD])
    assert reply.status_code == 503 and "risk" not in reply.text
    assert len(served.said) == 1 and "nothing is scored" in served.said[0]


def test_a_file_of_tokens_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "inference" / "tokens"
    with pytest.raises(WorkspaceRefused, match="collegium infer token"):
        AccessTokens(path)
    first, second = add_token(path, "ward-3"), add_token(path, "triage")
    assert path.stat().st_mode & 0o777 == 0o600 and first not in path.read_text()
    tokens = AccessTokens(path)
    assert [tokens.caller(f"Bearer {one}") for one in (first, second)] == ["ward-3", "triage"]
    add_token(path, "ward-3")
    assert AccessTokens(path).caller(f"Bearer {first}") is None
    with pytest.raises(PolicyRefused, match="small letters"):
        add_token(path, "Ward 3")
    path.chmod(0o640)
    with pytest.raises(PolicyRefused, match="chmod 600"):
        AccessTokens(path)
    path.chmod(0o600)
    path.write_text("ward-3 secret\n")
    with pytest.raises(PolicyRefused, match="line 1"):
        AccessTokens(path)


def test_a_running_service_forgets_a_token_that_was_replaced(served: Served) -> None:
    before = served.token
    after = add_token(served.tokens, "ward-3")
    assert served.post([RECORD]).status_code == 401
    served.token = after
    assert served.post([RECORD]).status_code == 200
    served.tokens.chmod(0o644)
    assert served.post([RECORD]).status_code == 401
    served.tokens.chmod(0o600)
    assert served.post([RECORD]).status_code == 200
    served.tokens.unlink()
    assert [served.post([RECORD]).status_code for served.token in (before, after)] == [401, 401]


@pytest.mark.parametrize(
    "body",
    [
        b'{"records": [{"age": 50, "ward": "\\ud800"}]}', b'{"records": [{"age": "\\udfff"}]}',
        b'{"records": [{"age": 1e308, "ward": "A"}]}', b'{"records": [{"age": "1e400"}]}',
        b'{"records": [{"age": "' + b"9" * 900 + b'"}]}', b'{"records": [{"\\ud800": 1}]}',
        b'{"records": [{"age": "\\u0000"}]}', b'{"records": [{"age": -0.0}]}',
    ],
)  # fmt: skip
def test_no_value_of_json_brings_the_service_into_trouble(served: Served, body: bytes) -> None:
    headers = {"authorization": f"Bearer {served.token}", "content-type": "application/json"}
    reply = served.client.post("/score", content=body, headers=headers)
    assert reply.status_code in (200, 400)


def test_other_machines_reach_the_service_by_tls_alone(tmp_path: Path) -> None:
    for address in ("127.0.0.1", "::1", "localhost"):
        assert ServicePlace(address=address).address == address
    with pytest.raises(PolicyRefused, match="need TLS"):
        ServicePlace(address="0.0.0.0")  # noqa: S104  (refused)
    with pytest.raises(PolicyRefused, match="go together"):
        ServicePlace(certificate=tmp_path / "a.pem")


def test_a_model_of_images_and_a_place_without_a_log_are_not_served(tmp_path: Path) -> None:
    images = export(tmp_path / "images", imaging(micro_batch=4, side=8))
    with pytest.raises(PolicyRefused, match="takes images"):
        RequestScoring(scoring_place(ModelPlace(folder=images)))
    table = export(tmp_path / "table", small_study())
    with pytest.raises(PolicyRefused, match="needs --home"):
        RequestScoring(scoring_place(ModelPlace(folder=table)))


@contextmanager
def listening(served: Served) -> Iterator[int]:
    """Yields the port of the running service."""
    server = server_of(served.place, ServicePlace(port=0), served.tokens, served.said.append)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_who_is_refused_keeps_no_connection_by_a_body_that_never_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeaderLimitedProtocol, "silent_seconds", 10 * PATIENCE)
    begun = b"POST /score HTTP/1.1\r\nhost: here\r\ncontent-length: 900000\r\n\r\n{"
    with (
        listening(served) as port,
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line,
    ):
        line.sendall(begun)
        told = b""
        while b"}" not in told:
            told += line.recv(4096)
        assert told.startswith(b"HTTP/1.1 401 ")
        with suppress(ConnectionError):  # it may be gone already
            line.sendall(b"more")
            assert line.recv(4096) == b""


def test_the_server_answers_on_a_socket_and_cuts_off_a_header_without_end(served: Served) -> None:
    with listening(served) as port:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        headers = {"authorization": f"Bearer {served.token}", "content-type": "application/json"}
        line.request("POST", "/score", json.dumps({"records": [RECORD]}), headers)
        reply = line.getresponse()
        assert reply.status == 200 and "risk" in json.loads(reply.read())["results"][0]
        assert reply.getheader("server") is None
        line.request("GET", "/healthz", headers={"x-long": "x" * 40_000})
        with pytest.raises((http.client.HTTPException, OSError)):
            line.getresponse()
        line.close()
