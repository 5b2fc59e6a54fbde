"""A network on which one approved run has finished; tests change copies of its folders."""

import json
from contextlib import closing
from pathlib import Path

from silos.config.site_template import site_template
from silos.database.approvals import approvals_of
from tests.support.networked.network import Network
from tests.support.simulated.studies import small_study

OFFICER = "Dr. A. Officer"


def finish_a_run(folder: Path) -> tuple[Network, str]:
    """Runs the small study; returns the network, stopped, and the run's id."""
    network = Network(folder, small_study())
    with network.serving():
        for site in network.sites.values():
            with closing(site.open()) as hospital:
                approvals_of(hospital).approve(
                    network.study.digest, approver=OFFICER, approvers=[OFFICER], reason="rare"
                )
        network.start_sites()
        run = network.run()
    assert network.row(run).state == "finished"
    # Each round of training, the evaluation, and the run's end: the alerts are looked at then.
    assert network.progressed == network.study.training.rounds + 2
    for name, site in network.sites.items():
        records = f"\ndata: {{kind: file, path: {json.dumps(str(site.source))}}}\n"
        (site.home / "site.yaml").write_text(site_template(name, None, None) + records)
    return network, run
