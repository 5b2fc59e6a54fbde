"""A message is signed as Standard Webhooks say, goes to one address alone, and holds no more."""

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.alerts.judging import Cause, ReleasedBounds, judged
from coordinator.alerts.webhook import (
    MESSAGE_FIELDS,
    alert_body,
    read_secret,
    send,
    signed_headers,
)
from coordinator.membership.authority import Authority
from coordinator.views.alerts import Alert
from protocol.errors import LinkLost, WorkspaceRefused
from tests.support.networked.webhook_receiver import SECRET, WRITTEN, Receiver, receiving
from tests.support.simulated.alert_facts import EVERYTHING, RULES, troubled

MOMENT = 1_614_265_330


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def alert(cause: Cause, **given: object) -> Alert:
    told: dict[str, object] = {
        "number": 7, "severity": cause.severity, "run": cause.run, "cause": cause.to_json(),
        "raised_at": "2026-03-04T05:06:07.000Z", "closed_at": None, "acknowledged_by": "Dr. Lead",
        "acknowledged_at": "2026-03-04T06:06:07.000Z", "note": "a private word",
    }  # fmt: skip
    return Alert(**(told | given))  # type: ignore[arg-type]


def test_the_signature_is_that_of_the_specifications_own_example() -> None:
    """The example of Standard Webhooks' reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", MOMENT, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_arrives_whole_and_signed(tmp_path: Path, receiver: Receiver) -> None:
    send(receiver.webhook(tmp_path), tmp_path, "msg_1", MOMENT, b'{"a":1}')
    (got,) = receiver.got
    assert got.is_genuine() and not got.is_genuine(bytes(32))
    assert got.path == "/hook" and got.body == b'{"a":1}'
    assert got.headers["webhook-id"] == "msg_1"
    assert got.headers["webhook-timestamp"] == str(MOMENT)
    assert got.headers["content-type"] == "application/json"


def test_a_redirect_is_refused_and_not_followed(tmp_path: Path, receiver: Receiver) -> None:
    with receiving() as other:
        receiver.status, receiver.location = 307, other.url
        with pytest.raises(LinkLost, match=r"redirects \(HTTP 307\)"):
            send(receiver.webhook(tmp_path), tmp_path, "msg_1", MOMENT, b"{}")
        assert len(receiver.got) == 1 and other.got == []


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
def test_what_a_receiver_does_not_take_has_not_arrived(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    with pytest.raises(LinkLost, match=f"HTTP {status}"):
        send(receiver.webhook(tmp_path), tmp_path, "msg_1", MOMENT, b"{}")


def test_a_receiver_that_never_answers_is_given_up(tmp_path: Path, receiver: Receiver) -> None:
    receiver.silent = True
    with pytest.raises(LinkLost, match=r"no answer within 0\.3 s|cannot be reached"):
        send(receiver.webhook(tmp_path), tmp_path, "msg_1", MOMENT, b"{}", seconds=0.3)


def test_a_receiver_that_answers_bit_by_bit_is_given_up_as_a_whole(tmp_path: Path) -> None:
    """Each read is quick, so only a limit of the whole attempt ends it."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(b"HTTP/1.1 204 No Content\r\nx: ")
                with contextlib.suppress(OSError):
                    while not over.wait(0.02):
                        line.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        receiver = Receiver(port=listener.getsockname()[1])
        try:
            with pytest.raises(LinkLost, match=r"no answer within 0\.3 s"):
                send(receiver.webhook(tmp_path), tmp_path, "msg_1", MOMENT, b"{}", seconds=0.3)
        finally:
            over.set()
            thread.join()


def test_over_tls_only_a_certificate_that_is_trusted_is_told_anything(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, ["127.0.0.1"], bytes(32))
    with receiving(authority.enrolment_context()) as receiver:
        unknown = receiver.webhook(tmp_path)
        with pytest.raises(LinkLost, match="cannot be reached"):
            send(unknown, tmp_path, "msg_1", MOMENT, b"{}")
        assert receiver.got == []
        known = unknown.model_copy(update={"ca_file": "tls/root.pem"})
        send(known, tmp_path, "msg_1", MOMENT, b"{}")
        assert receiver.got[0].is_genuine()
    missing = unknown.model_copy(update={"ca_file": "none.pem"})
    with pytest.raises(WorkspaceRefused, match=r"none\.pem cannot be read"):
        send(missing, tmp_path, "msg_1", MOMENT, b"{}")


def test_nobody_at_the_address_is_told_without_it(tmp_path: Path) -> None:
    with receiving() as gone:
        webhook = gone.webhook(tmp_path)
    with pytest.raises(LinkLost) as caught:
        send(webhook, tmp_path, "msg_1", MOMENT, b"{}")
    assert "cannot be reached (ConnectError)" in str(caught.value)
    assert "hook" not in str(caught.value) and "127.0.0.1" not in str(caught.value)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        send(receiver.webhook(tmp_path), tmp_path, "msg_1", MOMENT, b"{}")
        assert (len(receiver.got), len(proxy.got)) == (1, 0)


def test_a_secret_is_read_from_a_file_of_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch(mode=0o600)
    path.write_text(f"{WRITTEN}\n")
    assert read_secret(path) == SECRET
    path.chmod(0o640)
    with pytest.raises(WorkspaceRefused, match="open to other users: chmod 600"):
        read_secret(path)


@pytest.mark.parametrize(
    "text",
    [
        "word-9f3",
        WRITTEN.removeprefix("whsec_"),
        "whsec_9f3A",
        "whsec_ä9f3",
        "whsec_" + "9f3A" * 50,
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(WorkspaceRefused, match="holds no secret") as caught:
        read_secret(path)
    assert text not in str(caught.value)
    assert "9f3" not in str(caught.value)


def test_a_secret_that_is_missing_a_folder_or_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "s")
    (tmp_path / "s").touch(mode=0o600)
    for name in ("none", "link"):
        with pytest.raises(WorkspaceRefused, match="cannot be read"):
            read_secret(tmp_path / name)
    with pytest.raises(WorkspaceRefused):
        read_secret(tmp_path)


@pytest.mark.parametrize("event", ["raised", "closed"])
def test_a_body_of_any_kind_holds_the_fixed_fields_and_nothing_else(event: str) -> None:
    causes = judged(EVERYTHING, RULES).causes + judged(troubled("fairness_gap_grown"), RULES).causes
    assert {cause.kind for cause in causes} == {rule.kind for rule in RULES.rules}
    for cause in causes:
        closed_at = "2026-03-05T05:06:07.000Z" if event == "closed" else None
        body = json.loads(alert_body(alert(cause, closed_at=closed_at), event))
        assert set(body) == {"type", "timestamp", "data"}
        assert set(body["data"]) == set(MESSAGE_FIELDS)
        assert set(body["data"]["released"] or {}) <= {"value", "low", "high"}
        assert body["type"] == f"alert.{event}"
        assert body["timestamp"] == body["data"][f"{event}_at"]
        assert "Dr. Lead" not in str(body) and "private" not in str(body)


def test_a_message_about_the_raising_is_the_same_after_the_alert_was_closed() -> None:
    """A retry says what the first attempt said."""
    (cause,) = judged(troubled("budget"), RULES).causes
    before = alert_body(alert(cause, acknowledged_by=None, note=None), "raised")
    assert alert_body(alert(cause, closed_at="2026-03-05T05:06:07.000Z"), "raised") == before


def test_a_figure_that_a_cause_has_is_a_released_one() -> None:
    for cause in judged(EVERYTHING, RULES).causes:
        if cause.released is not None:
            assert cause.kind in ("drift", "calibration", "fairness_gap", "fairness_gap_grown")
            assert isinstance(cause.released, ReleasedBounds)
