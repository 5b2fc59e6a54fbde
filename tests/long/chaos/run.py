"""Runs faults one after another and says of each how it ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import FederationError
from protocol.study.study import Study
from silos.rounds.silo import MakeTrainer
from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.judge import Verdict
from tests.long.chaos.stage import Stage, found


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a fault ended; ``problems`` is empty when everything that must hold does."""

    fault: Fault
    outcome: str
    seconds: float
    problems: tuple[str, ...]


class Consortia:
    """A founded consortium for each study, and the model that each gives without a fault."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._founded: dict[str, Path] = {}
        self._models: dict[tuple[str, MakeTrainer], str] = {}

    def founded(self, study: Study) -> Path:
        """Returns a consortium that has not run anything yet."""
        if study.digest not in self._founded:
            name = f"founded-{len(self._founded)}"
            self._founded[study.digest] = found(self._folder / name, study)
        return self._founded[study.digest]

    def model(self, fault: Fault) -> str:
        """Returns the model of this study when nothing happens."""
        key = fault.study.digest, fault.trainer
        if key not in self._models:
            folder = self._folder / f"undisturbed-{len(self._models)}"
            verdict, died = self._play(fault, folder, undisturbed)
            if died or verdict.problems or verdict.state != "finished" or verdict.model is None:
                raise AssertionError(f"a run without a fault ends so: {verdict}")
            self._models[key] = verdict.model
        return self._models[key]

    def strike(self, fault: Fault, folder: Path) -> Ended:
        """Plays a fault on a copy of its consortium, and judges what is left."""
        model = self.model(fault) if fault.same_model else None
        begun = time.monotonic()
        verdict, died = self._play(fault, folder, fault.play, model)
        seconds = time.monotonic() - begun
        problems = [*verdict.problems, *died]
        if verdict.state not in fault.ends:
            problems.append(f"the run {verdict.told}; it must be {' or '.join(fault.ends)}")
        if fault.nothing_open and verdict.open_reservations:
            problems.append(f"still reserved: {', '.join(verdict.open_reservations)}")
        return Ended(fault=fault, outcome=verdict.told, seconds=seconds, problems=tuple(problems))

    def _play(
        self, fault: Fault, folder: Path, play: Callable[[Stage], None], model: str | None = None
    ) -> tuple[Verdict, list[str]]:
        folder.mkdir(parents=True)
        stage = Stage(folder, self.founded(fault.study), fault.study, fault.pace, fault.trainer)
        try:
            play(stage)
            if fault.nothing_open:
                stage.wait_until_settled()
        finally:
            stage.close()
        died = [
            f"the supervisor of {site.name} ended by {type(failure).__name__}: {failure}"
            for site in stage.sites.values()
            for failure in site.failures
            if not isinstance(failure, FederationError)
        ]
        return stage.judged(model, same_update=fault.same_update), died


def undisturbed(stage: Stage) -> None:
    """Plays a run to which nothing happens."""
    stage.serve()
    stage.start()
    stage.begin()
    stage.wait()
