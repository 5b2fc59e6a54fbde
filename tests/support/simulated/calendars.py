"""A monitoring calendar in memory: run after run of one study over records that change."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from compliance.facts.drift_calendar import DriftCalendar
from coordinator.database.store import RunRow
from coordinator.rounds.training import Outcome
from coordinator.views.views import open_views
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.training.counting.monitoring_trainer import MonitoringTrainer
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import MONITORING_STUDY

#: The small study with more patients, so that a drift shows through the noise.
CALENDAR_STUDY = MONITORING_STUDY.replace("patients: 40}", "patients: 700}").replace(
    "epsilon: 4", "epsilon: 16"
)
PATIENTS = 600


def write_patients(folder: Path, study: Study, *, seed: int = 0, ill: float = 0.15) -> None:
    """Writes new patients of every hospital; ages in [20, 100], wards alike, so many are ill."""
    for place, site in enumerate(study.site_names):
        random = np.random.default_rng([seed, place])
        ages = np.clip(random.normal(60, 15, PATIENTS), 20, 100)
        rows = zip(ages, random.integers(3, size=PATIENTS), random.random(PATIENTS), strict=True)
        lines = ["age,ward,patient,ill"] + [
            f"{age:.1f},{'ABC'[ward]},{site}-{n},{int(chance < ill)}"
            for n, (age, ward, chance) in enumerate(rows)
        ]
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")


class CalendarRuns:
    """Four hospitals, and the releases that they make."""

    def __init__(self, folder: Path, text: str = CALENDAR_STUDY, budget: float = 40.0) -> None:
        self.hospitals = Federation(
            folder,
            read_study(text),
            budget=budget,
            trainer=MonitoringTrainer,
            write=write_patients,
            run_id="release-0",
        )
        self.made = 0

    def release(
        self, change: Callable[[Path], None] | None = None, *, without: str | None = None
    ) -> Outcome:
        """Makes the next release, of new patients; a hospital may fall silent."""
        hospitals, name = self.hospitals, f"release-{self.made}"
        write_patients(hospitals.data, hospitals.study, seed=self.made)
        if change is not None:
            change(hospitals.data)
        hospitals.run_id = name
        hospitals.invitation = replace(hospitals.invitation, run_id=name)
        hospitals.link.lost = lambda site, request: site == without
        outcome = hospitals.run()
        for silo in hospitals.silos.values():
            silo.leave(name)
        with hospitals.store.transaction() as transaction:
            transaction.session.get_one(RunRow, name).state = "finished"
        self.made += 1
        return outcome

    def calendar(self) -> DriftCalendar:
        """Returns the calendar as commands show it."""
        with closing(open_views(self.hospitals.workspace.root)) as views:
            return views.calendar()


def in_another_unit(folder: Path) -> None:
    """Divides every age by twelve, as if it were in another unit."""
    for path in folder.glob("*.csv"):
        head, *rows = [line.split(",") for line in path.read_text().splitlines()]
        for row in rows:
            row[0] = f"{float(row[0]) / 12:.2f}"
        path.write_text("\n".join(",".join(row) for row in (head, *rows)) + "\n")


def on_a_new_ward(folder: Path) -> None:
    """Moves two patients of three from ward A to ward C."""
    for path in folder.glob("*.csv"):
        head, *rows = path.read_text().splitlines()
        moved = [
            line.replace(",A,", ",C,") if place % 3 else line for place, line in enumerate(rows)
        ]
        path.write_text("\n".join([head, *moved]) + "\n")


def twice_as_ill(folder: Path) -> None:
    """Writes patients of whom twice as many are ill."""
    study = read_study(CALENDAR_STUDY)
    write_patients(folder, study, seed=99, ill=0.3)
