"""``collegium silo log``: what a hospital holds of its coordinator's log, over the network."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collegium.cli.main import app
from coordinator.database.store import Store, signed_heads
from coordinator.database.workspace import Workspace
from protocol.secagg.log_proof import SignedHead, open_head
from silos.config.site_template import site_template
from silos.rounds.openings.log_heads import LogHeads
from tests.support.networked.network import Network
from tests.support.simulated.studies import small_study


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    network = Network(tmp_path_factory.mktemp("network"), small_study())
    with network.serving():
        network.start_sites()
        run_id = network.run()
        assert network.row(run_id).state == "finished"
    home = network.sites["east"].home
    (home / "site.yaml").write_text(site_template("east", None, None))
    return network


def test_the_newest_note_is_shown_and_written(network: Network, tmp_path: Path) -> None:
    home, to = network.sites["east"].home, tmp_path / "note"
    done = CliRunner().invoke(app, ["silo", "log", "--home", str(home), "--to", str(to), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    workspace = Workspace(network.home)
    head = open_head(to.read_bytes(), workspace.public_key())
    store = Store(workspace.database)
    with store.read() as session:
        heads = {each.size: each.root for each in signed_heads(session)}
    store.close()
    assert heads[head.size] == head.root
    assert (found["size"], found["root"]) == (head.size, head.root.hex())
    assert found["forks"] == []


def test_a_fork_is_shown_with_both_notes(network: Network) -> None:
    home = network.sites["east"].home
    hospital = network.sites["east"].open()
    heads = LogHeads(hospital, Workspace(network.home).public_key())
    newest = heads.newest()
    assert newest is not None
    other = SignedHead(size=newest.size, root=bytes(32), note=b"another note\n")
    heads.keep_fork(newest, other, "run-9")
    hospital.close()
    done = CliRunner().invoke(app, ["silo", "log", "--home", str(home)])
    assert done.exit_code == 0
    assert "FORK   run run-9" in done.stdout
    assert newest.note.decode() in done.stdout
    assert "another note" in done.stdout
