"""A run over TLS that ends with an earlier model: what the hospitals keep of it, and sign."""

from contextlib import closing
from pathlib import Path

import pytest

from coordinator.views.views import open_views
from protocol.study.study_file import read_study
from protocol.vectors.tensors import model_digest
from silos.database.joined_runs import JoinedRuns
from silos.results.kept_models import evaluated_files, read_model
from silos.results.run_results import own_results
from tests.support.networked.network import Network
from tests.support.simulated.nine_hospitals import without_noise
from tests.support.simulated.studies import TABLE_STUDY
from tests.system.training.test_roll_back import PoisonedAtTheEnd


@pytest.mark.long
def test_hospitals_keep_the_model_that_a_run_went_back_to(tmp_path: Path) -> None:
    text = without_noise(TABLE_STUDY).replace("{bins: 8}", "{bins: 8, every: 1, roll_back: 0.05}")
    network = Network(tmp_path, read_study(text))
    for site in network.sites.values():
        site.make_trainer = PoisonedAtTheEnd
    with network.serving():
        network.start_sites()
        run_id = network.run()
        row = network.row(run_id)
    assert row.state == "finished", row.failure
    assert network.progressed == 2 + 2 + 1
    with closing(open_views(network.home)) as views:
        course = views.dossier(run_id).course
    assert course is not None and course.final is not None
    assert [(one.rounds, one.goes_on) for one in course.evaluations] == [(1, 1), (2, 1)]
    assert row.model_digest == course.final.model_digest != course.evaluations[-1].model_digest
    for site in network.sites.values():
        with closing(site.open()) as hospital:
            found = own_results(site.home, hospital, JoinedRuns(hospital).named(run_id))
        assert found.is_announced_model and not found.is_other_end
        assert found.model_file is not None
        assert model_digest(read_model(found.model_file)) == row.model_digest
        assert evaluated_files(site.home, run_id) == ()
    assert not [site.failures for site in network.sites.values() if site.failures]
