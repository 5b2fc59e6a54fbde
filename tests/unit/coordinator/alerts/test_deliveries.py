"""What is queued arrives once, or is kept, tried again with rests, and shown."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.alerts.deliveries import ATTEMPTS, AlertDeliveries, Delivered
from coordinator.alerts.rules import Webhook
from coordinator.views.alerts import AlertMessage
from protocol.errors import LinkLost
from tests.support.networked.webhook_receiver import receiving
from tests.support.simulated.alert_facts import CALM
from tests.unit.coordinator.alerts.test_register import LOW, Kept


class Line:
    """A sender that fails while it is down, and keeps what it was given."""

    def __init__(self) -> None:
        self.down = False
        self.sent: list[tuple[str, bytes]] = []
        self.tried = 0

    def __call__(self, webhook: Webhook, folder: Path, name: str, moment: int, body: bytes) -> None:
        self.tried += 1
        if self.down:
            raise LinkLost("the receiver did not take it (HTTP 503)")
        self.sent.append((name, body))


class Queue(Kept):
    """A register with one alert and its message, and the deliveries of the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with receiving() as receiver:
            self.rules = receiver.rules(
                folder,
                "name: budget-low, kind: budget, share: 0.8",
                "name: other, kind: budget, share: 0.85",
            )
        self.line = Line()
        key = self.workspace.signing_key()
        self.deliveries = AlertDeliveries(self.store, key, folder, self.clock, self.line)
        self.settle(LOW, self.rules)

    def messages(self) -> list[AlertMessage]:
        return [message for alert in reversed(self.alerts()) for message in alert.messages]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    found = Queue(tmp_path / "home")
    with closing(found.store):
        yield found


def test_a_message_is_sent_once(queue: Queue) -> None:
    assert queue.deliveries.deliver(queue.rules) == Delivered(sent=2)
    assert queue.deliveries.deliver(queue.rules, all_of_them=True) == Delivered()
    assert {m.state for m in queue.messages()} == {"sent"} and queue.line.tried == 2
    queue.verify()


def test_a_message_that_failed_rests_longer_each_time_and_is_shown(queue: Queue) -> None:
    queue.line.down = True
    assert queue.deliveries.deliver(queue.rules) == Delivered(failed=1)
    assert queue.line.tried == 1  # the receiver is left alone for the rest of the pass
    (first, second) = queue.messages()
    assert (first.state, first.attempts) == ("waiting", 1)
    assert first.failure == "the receiver did not take it (HTTP 503)"
    assert [alert.unsent for alert in queue.alerts()] == [(second,), (first,)]
    queue.clock.move(seconds=59)
    queue.deliveries.deliver(queue.rules)
    assert queue.messages()[0].attempts == 1
    queue.clock.move(seconds=2)
    queue.deliveries.deliver(queue.rules)
    assert queue.messages()[0].attempts == 2
    queue.clock.move(seconds=61)
    queue.deliveries.deliver(queue.rules)
    assert queue.messages()[0].attempts == 2  # the second rest is of two minutes


def test_the_end_of_an_alert_is_not_told_before_the_alert(queue: Queue) -> None:
    queue.line.down = True
    queue.deliveries.deliver(queue.rules)
    queue.line.down = False
    queue.clock.move(seconds=-60)  # settling takes a minute of this clock
    queue.settle(CALM, queue.rules)
    queue.deliveries.deliver(queue.rules)
    told = [json.loads(body) for _, body in queue.line.sent]
    assert [(one["type"], one["data"]["number"]) for one in told] == [
        ("alert.raised", 2),
        ("alert.closed", 2),
    ]
    queue.clock.move(seconds=61)
    queue.deliveries.deliver(queue.rules)
    told = [json.loads(body) for _, body in queue.line.sent[2:]]
    assert [(one["type"], one["data"]["number"]) for one in told] == [
        ("alert.raised", 1),
        ("alert.closed", 1),
    ]


def test_a_message_has_one_name_and_one_body_at_every_attempt(queue: Queue) -> None:
    queue.line.down = True
    queue.deliveries.deliver(queue.rules)
    queue.line.down = False
    queue.deliveries.deliver(queue.rules, all_of_them=True)
    assert len({name for name, _ in queue.line.sent}) == 2
    assert all(m.failure is None and m.state == "sent" for m in queue.messages())


def test_a_message_is_given_up_after_so_many_attempts_and_tried_again_when_asked(
    queue: Queue,
) -> None:
    queue.line.down = True
    for _ in range(3 * ATTEMPTS):
        queue.clock.move(hours=1.1)
        queue.deliveries.deliver(queue.rules)
    assert [(m.state, m.attempts) for m in queue.messages()] == [("failed", ATTEMPTS)] * 2
    queue.line.down = False
    assert queue.deliveries.deliver(queue.rules) == Delivered()
    assert queue.deliveries.deliver(queue.rules, all_of_them=True) == Delivered(sent=2)
    queue.verify()


def test_an_attempt_is_written_down_before_it_is_made(queue: Queue) -> None:
    """Another process that looks meanwhile finds nothing that is due."""
    seen = []

    def looks_too(*_: object) -> None:
        other = AlertDeliveries(
            queue.store, queue.workspace.signing_key(), queue.workspace.root, queue.clock
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(other, "_try", lambda *_, **__: seen.append(1))
            other.deliver(queue.rules)

    own = AlertDeliveries(
        queue.store, queue.workspace.signing_key(), queue.workspace.root, queue.clock,
        lambda *_: looks_too(),
    )  # fmt: skip
    own.deliver(queue.rules)
    assert len(seen) == 1  # while the first was sent, the second was due, and only that


def test_a_message_to_a_webhook_that_was_taken_out_says_so(queue: Queue) -> None:
    rules = queue.rules.model_copy(update={"webhooks": {}})
    assert queue.deliveries.deliver(rules) == Delivered(failed=1)
    assert "no webhook of this name" in str(queue.messages()[0].failure)
    assert queue.line.tried == 0


def test_a_secret_that_is_gone_is_told_and_tried_again(queue: Queue) -> None:
    secret = queue.workspace.root / "on-call.secret"
    text = secret.read_text()
    secret.unlink()
    real = AlertDeliveries(
        queue.store, queue.workspace.signing_key(), queue.workspace.root, queue.clock
    )
    real.deliver(queue.rules)
    assert "on-call.secret cannot be read" in str(queue.messages()[0].failure)
    with receiving() as receiver:
        secret.touch(mode=0o600)
        secret.write_text(text)
        webhook = receiver.webhook(queue.workspace.root)
        rules = queue.rules.model_copy(update={"webhooks": {"on-call": webhook}})
        assert real.deliver(rules, all_of_them=True) == Delivered(sent=2)
        assert all(got.is_genuine() for got in receiver.got)


def test_a_pass_ends_early_where_it_is_told_to(queue: Queue) -> None:
    assert queue.deliveries.deliver(queue.rules, goes_on=lambda: False) == Delivered()
    assert {m.attempts for m in queue.messages()} == {0}
