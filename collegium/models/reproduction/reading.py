"""Sides of a comparison, read from a folder whose log and records were verified first."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from collegium.models.reproduction.comparison import CourseStep, KeptSums, RunSide
from collegium.models.reproduction.differences import RunInputs
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Reproduction, reproduction_of
from compliance.facts.figures import TASK_FIGURES
from coordinator.audit.recompute import recompute
from coordinator.audit.verification import verify_records
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import ReleaseRow, RoundRow, RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.snapshots import signed_snapshot_of
from coordinator.rounds.evaluation.released import figures_from
from coordinator.rounds.run_course import kinds_of
from coordinator.views.one_run.dossiers import stored_manifest
from coordinator.views.one_run.rows import (
    find_run,
    newest_run,
    released_figures,
    rounds_of,
    study_of,
)
from protocol.encoding import digest
from protocol.errors import StoreBroken, WorkspaceRefused
from protocol.identity.roster import Roster, parse_roster
from protocol.study.study import Study
from protocol.transport.snapshot import SignedSnapshot
from protocol.vectors.tensors import Tensors, flatten, layout_of

#: A run's rounds, each once: its kind, its number and its rows.
_Rounds = dict[tuple[str, int], list[RoundRow]]


class RecordedRun:
    """One run in a folder, whose log and records were verified.

    Args:
        workspace: the folder.
        session: of its database.
        row: the run.
    """

    def __init__(self, workspace: Workspace, session: Session, row: RunRow) -> None:
        self._workspace, self._session, self._row = workspace, session, row
        self.run_id, self.simulation, self.test_noise = row.id, row.simulation, row.test_noise
        self.study = study_of(session, row)
        self.manifest = stored_manifest(session, row.id)

    @property
    def how(self) -> Reproduction:
        """The way in which the run is reproduced."""
        return reproduction_of(
            self.manifest, simulation=self.simulation, test_noise=self.test_noise
        )

    @property
    def name(self) -> tuple[str, str]:
        """The run's name with its consortium's key: a copy of the folder has the same."""
        return self._workspace.public_key().hex(), self.run_id

    @property
    def roster(self) -> Roster:
        """The members of the consortium, of whom the run was."""
        return parse_roster(self._row.roster_json.encode())

    @property
    def signed(self) -> SignedSnapshot | None:
        """The snapshot of the final model with its signatures; None where the run has none."""
        return signed_snapshot_of(self._session, self.run_id)

    def side(self) -> RunSide:
        """Returns the run as a side of a comparison."""
        return RunSide(
            run_id=self.run_id,
            inputs=RunInputs(
                study=self.study.model_dump(mode="json"),
                manifest=self.manifest,
                test_noise=self.test_noise,
            ),
            steps=tuple(self._steps()),
            model=self._row.model_digest,
            exact=None if self._row.exact_json is None else digest(self._row.exact_json.encode()),
            figure=self._figure(),
        )

    def model(self) -> Tensors | None:
        """Returns the final model; None where the run has none."""
        name = self._row.model_digest
        return None if name is None else self._workspace.read_snapshot(name)

    def kept_sums(self, tell: Callable[[str], None]) -> KeptSums:
        """Computes the sums of all rounds again whose masked vectors are kept.

        Args:
            tell: is told which round is computed.
        """
        archive, public = RoundArchive(self._workspace.rounds), self._workspace.public_key()
        right: list[str] = []
        gone: list[str] = []
        for kind, number in self._rounds():
            name = self._name(kind, number)
            tell(f"{name}: its sum, where the masked vectors are kept")
            try:
                recompute(
                    self._session, archive, public,
                    run_id=self.run_id, round_kind=kind, number=number,
                )  # fmt: skip
            except WorkspaceRefused:
                gone.append(name)
            except StoreBroken as error:
                return KeptSums(right=tuple(right), gone=tuple(gone), fault=(name, str(error)))
            else:
                right.append(name)
        return KeptSums(right=tuple(right), gone=tuple(gone))

    def _name(self, kind: str, number: int) -> str:
        if kind == "training":
            return f"training round {number + 1}"
        return f"the {self.study.evaluations.place(kind, number)}"

    def _rounds(self) -> _Rounds:
        found: _Rounds = {}
        for row in rounds_of(self._session, self.run_id):
            if row.state == "finished":
                found.setdefault((row.round_kind, row.number), []).append(row)
        return found

    def _steps(self) -> Iterator[CourseStep]:
        for (kind, number), rows in self._rounds().items():
            sites = sorted({site for row in rows for site in json.loads(row.survivors_json)})
            result = rows[-1].model_digest if kind == "training" else self._released(number)
            yield CourseStep(name=self._name(kind, number), result=result or "", sites=tuple(sites))

    def _released(self, number: int) -> str:
        kind, _ = kinds_of(self.study, number)
        query = select(ReleaseRow.payload_json).filter_by(run_id=self.run_id, kind=kind)
        return digest(self._session.scalars(query).one().encode())

    def _figure(self) -> tuple[str, Interval] | None:
        released = released_figures(self._session, self.run_id, self.study)
        if released is None:
            return None
        headline = TASK_FIGURES[self.study.task.kind].headline
        found = figures_from(released["figures"]).get(headline.name)
        return None if found is None else (headline.title, found)


@contextmanager
def recorded_run(folder: Path, run: str | None) -> Iterator[RecordedRun]:
    """Yields a run of a folder that is not at work on it, after verifying the folder's records.

    Args:
        folder: a simulation's or a coordinator's.
        run: its name, or its beginning; the newest run when None.

    Raises:
        WorkspaceRefused: there is no such run, or it is not over.
        StoreBroken: the records are not what was logged.
    """
    workspace = Workspace.open(folder)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        row = newest_run(session) if run is None else find_run(session, run)
        if row.state == "running":
            raise WorkspaceRefused(f"run {row.id} is not over: reproduce it when it has ended")
        verify_records(session, workspace.public_key())
        yield RecordedRun(workspace, session, row)


def distance_of(one: Tensors | None, other: Tensors | None) -> float | None:
    """Returns the Euclidean distance of two models as a part of the first one's norm.

    None where one is missing or they have other forms.
    """
    if one is None or other is None or layout_of(one) != layout_of(other):
        return None
    before, after = flatten(one).astype(np.float64), flatten(other).astype(np.float64)
    if not before.size:
        return None
    norm = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / max(norm, 1e-12)


def document_of(study: Study) -> Study:
    """Returns a study of its own, to which files may be attached: stored ones are shared."""
    return Study.model_validate_json(study.canonical_bytes)
