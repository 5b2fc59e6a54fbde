"""A run of real hospitals is attacked by a training of its study on records that are nobody's."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from collegium.redteam import run as redteam_run
from collegium.redteam.findings import Target
from collegium.redteam.harness import AttackRandomness
from collegium.redteam.records.drawn import drawn_hospitals
from collegium.redteam.run import Places, red_team_run
from coordinator.views.views import open_views
from protocol.errors import WorkspaceRefused
from silos.training.randomness import FixedEntropy
from silos.training.trainer import Trainer
from tests.support.networked.network import Network
from tests.support.simulated.studies import small_study
from tests.unit.collegium.redteam.test_redteam_run import QUIET, hurry


def test_drawn_records_are_of_the_studys_form_and_of_nobody() -> None:
    study = small_study()
    found = drawn_hospitals(study, np.random.default_rng(1))
    assert set(found) == set(study.site_names)
    train, test = found["east"]
    assert (train.num_patients, test.num_patients) == (40, 128)
    assert train.features.shape == (40, 3) and set(np.unique(train.labels[:])) == {0.0, 1.0}
    assert not np.array_equal(train.features[:], found["north"][0].features[:])


@pytest.mark.long
def test_a_run_of_real_hospitals_says_that_its_own_model_was_not_attacked(
    run_once: tuple[Network, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    network, run = run_once
    out = Path(copytree(network.home, tmp_path / "copy"))
    with pytest.raises(WorkspaceRefused, match="--stand-in attacks a training of its study"):
        red_team_run(run, Places(out=out), QUIET)
    # The test's network has a test's noise, which claims nothing.
    monkeypatch.setattr(redteam_run, "_claims", lambda study, *_given: Target.planned(study).claims)
    chances = AttackRandomness(
        entropy=FixedEntropy(7, simulated=True), random=np.random.default_rng(7)
    )
    found = red_team_run(run, Places(out=out, stand_in=True), QUIET, Trainer, chances)
    assert not found.contradicted and "own-records" in found.missing
    assert {check.name for check in found.checks} >= {"price of what was signed"}
    opened = open_views(out)
    (facts,) = opened.subject("run", run).red_team
    (snapshot,) = [one for one in opened.snapshots() if one.snapshot.run == run]
    opened.close()
    assert facts.stand_in and snapshot.attacks == (facts,)
    said = {one.kind.name: one.text for one in facts.figures}
    assert "its records are not here" in said["own-records"]
    assert said["inserted"].startswith(("0.", "-")) and "LiRA" in said["advantage"]
    page = (out / "redteam" / run / "redteam.html").read_text()
    assert "the run&#39;s own model was not attacked" in page
