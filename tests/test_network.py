"""Hospitals on a network: the run of one process, over TLS, with supervisors and a service."""

from pathlib import Path

from protocol.tensors import model_digest
from tests.federation import Federation
from tests.network import Network
from tests.studies import small_study


def test_network_gives_the_model_that_one_process_gives(tmp_path: Path) -> None:
    study = small_study()
    (tmp_path / "one").mkdir()
    alone = Federation(tmp_path / "one", study, fixed_noise=study.seeds.model).run()
    network = Network(tmp_path, study)
    with network.serving():
        network.start_sites()
        row = network.row(network.run())
    assert row.state == "finished", row.failure
    assert row.model_digest == model_digest(alone.model)
    assert not [site.failures for site in network.sites.values() if site.failures]
