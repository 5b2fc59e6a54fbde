"""Batches that take turns and groups under a robust rule, over TLS with supervisors."""

from pathlib import Path

import pytest

from coordinator.runs.resources import RunTimeouts
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import model_digest
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, until
from tests.support.simulated.federation import Federation
from tests.support.simulated.nine_hospitals import grouped_text
from tests.support.simulated.studies import TABLE_STUDY

TURNS = "participation: {batches: [[east, north, south], [north, south, west]]}\n"


def in_one_process(folder: Path, study: Study) -> str:
    folder.mkdir()
    return model_digest(Federation(folder, study, fixed_noise=study.seeds.model).run().model)


@pytest.mark.long
def test_batches_take_turns_over_the_network(tmp_path: Path) -> None:
    study = read_study(TABLE_STUDY + TURNS)
    network = Network(tmp_path, study)
    with network.serving():
        network.start_sites()
        run_id = network.run()
        row, rounds = network.row(run_id), network.rounds(run_id)
    assert row.state == "finished", row.failure
    assert row.model_digest == in_one_process(tmp_path / "one", study)
    assert [sites for sites, _ in rounds] == [
        ["east", "north", "south"], ["north", "south", "west"], ["east", "north", "south", "west"],
    ]  # fmt: skip


@pytest.mark.long
def test_a_run_of_groups_waits_for_a_hospital_that_its_group_cannot_spare(tmp_path: Path) -> None:
    study = read_study(grouped_text().replace("rounds: 2", "rounds: 3"))
    network = Network(
        tmp_path, study, pace=RunTimeouts(joining=PATIENCE, step=5, patience=PATIENCE)
    )
    with network.serving():
        network.start_sites()
        run_id = network.service.start_run(study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run_id) >= 3)
        network.sites["e"].stop()
        until(lambda: bool(network.blocked_reason(run_id)))
        network.sites["e"].start()
        network.service.wait(run_id, PATIENCE)
        row, rounds = network.row(run_id), network.rounds(run_id)
    assert row.state == "finished", row.failure
    groups = [list(group) for group in ("abc", "def", "ghi")]
    assert [sites for sites, _ in rounds[:-1]] == groups * 3
    assert not [site.failures for site in network.sites.values() if site.failures]
