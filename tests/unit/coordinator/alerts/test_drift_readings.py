"""Which calendar the alerts about drift are judged by, where a plan was amended."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from compliance.estimates.drift.series import DriftTest, ReleaseDrift
from compliance.facts.drift_calendar import DriftCalendar
from coordinator.alerts import drift_readings
from coordinator.alerts.drift_readings import DriftReadings
from coordinator.alerts.facts import AlertFacts
from coordinator.alerts.judging import judged
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from protocol.study.study_file import read_study
from tests.support.simulated.alert_facts import NOW, only
from tests.support.simulated.studies import MONITORING_STUDY


def calendar(digest: str, value: float) -> DriftCalendar:
    test = DriftTest(column="age", statistic="psi", value=value, threshold=0.5, chance=0.001)
    release = ReleaseDrift(
        number=1, run_id=f"run-{digest[:8]}", sites=("a",), patients=900.0, tests=(test,)
    )
    return DriftCalendar(
        study_name="watch", study_title="Watch", study_digest=digest, model=None, planned=2,
        epsilon=1.0, delta=1e-6, seed=1, rate=0.05, reference=None, made_at=(), series=(release,),
        budget_left={}, simulation=True,
    )  # fmt: skip


@pytest.mark.parametrize("newest_digest_first", [False, True])
def test_of_an_amended_plan_the_calendar_that_ran_last_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, newest_digest_first: bool
) -> None:
    studies = [
        read_study(MONITORING_STUDY.replace("epsilon: 4", f"epsilon: {epsilon}"))
        for epsilon in (4, 5)
    ]
    studies.sort(key=lambda study: study.digest, reverse=newest_digest_first)
    drift = {studies[0].digest: 0.1, studies[1].digest: 0.9}
    monkeypatch.setattr(
        drift_readings, "calendar_of", lambda _session, digest: calendar(digest, drift[digest])
    )
    workspace = Workspace.create(tmp_path / "out")
    with closing(Store(workspace.database)) as store:
        with store.transaction() as transaction:
            for place, study in enumerate(studies):
                transaction.register(study)
                transaction.write(
                    RunRow(
                        id=f"run-{place}", study_digest=study.digest, state="finished",
                        simulation=True, test_noise=False, seed=1,
                        started_at=f"2026-01-0{place + 1}T00:00:00Z", roster_json="{}",
                        sites_json="{}", environment_json="{}",
                    )
                )  # fmt: skip
        with store.read() as session:
            assert isinstance(session, Session)
            found = DriftReadings().read(session)
    (cause,) = judged(AlertFacts(now=NOW, drift=found), only("drift")).causes
    assert cause.released is not None and cause.released.value == 0.9
