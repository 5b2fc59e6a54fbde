"""The service's own watch: it is woken after every round and at a run's end, and tells."""

from contextlib import closing
from pathlib import Path

import pytest

from coordinator.alerts import watch as module
from coordinator.alerts.gathering import Heard
from coordinator.alerts.watch import AlertWatch
from coordinator.views.views import open_views
from tests.support.networked.network import Network, until
from tests.support.networked.webhook_receiver import receiving
from tests.support.simulated.studies import small_study


@pytest.mark.long  # its quick form: every finished network of the tests counts the same
def test_the_service_wakes_the_watch_after_every_round_and_at_the_end_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REST_SECONDS", 0.0)
    woken: list[int] = []
    study = small_study()
    network = Network(tmp_path, study, progressed=lambda: (woken.append(1), watch.wake())[0])
    service = network.service
    watch = AlertWatch(
        network.home, lambda: Heard(began=service.began, last_seen=service.last_seen)
    )
    with receiving() as receiver, closing(watch):
        receiver.rules(network.home, "name: ends, kind: roster, days: 3660")
        with network.serving(), watch.at_work():
            network.start_sites()
            run = network.run()
            assert network.row(run).state == "finished"
            assert len(woken) == study.training.rounds + 2  # the evaluation, and the run's end
            until(lambda: len(receiver.got) == 1)
        assert receiver.got[0].is_genuine() and receiver.got[0].data["rule"] == "ends"
    with closing(open_views(network.home)) as views:
        assert [alert.cause["rule"] for alert in views.alerts()] == ["ends"]
        assert views.verification().faults == ()
