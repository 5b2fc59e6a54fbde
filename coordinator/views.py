"""Read-only views of the consortium's memory: what pages, reports and commands show."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit_log import LoggedEntry
from compliance.facts.dossier import (
    Audit,
    Dossier,
    EntryFacts,
    RoundFacts,
    SecondOpinionFacts,
    SiteFacts,
    Verification,
)
from compliance.facts.interval import Interval
from compliance.facts.privacy_utility import EXACT, RELEASED, UtilityPoint, Withheld
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.database.store import (
    ReferenceRow,
    RoundRow,
    RunRow,
    Store,
    StudyRow,
    evaluation_of,
    head_after,
    logged_entries,
)
from coordinator.database.workspace import Workspace
from coordinator.rounds.conduct import conduct_from
from coordinator.rounds.evaluation import risks_from
from coordinator.runs.monitoring.progress import RunProgress, read_progress
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import KeyedHashSplit, Study
from protocol.study.variants import question
from protocol.transport.privacy_summary import Summary, read_summary, read_words


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One line about a run; ``question`` is the same for runs that can be compared.

    ``split`` is the seed of a simulation's split; 0 where no seed decides it.
    """

    run_id: str
    study_name: str
    question: str
    state: str
    started_at: str
    seed: int
    simulation: bool
    test_noise: bool
    mode: str
    epsilon: float | None
    exact_auroc: float | None
    auroc_released: Interval | None
    sweep: str | None
    split: int = 0
    progress: RunProgress | None = None  # of a run at work on a network


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a simulation reached with all records in one place; ``mode`` is pooled.

    ``split`` as in ``RunSummary``.
    """

    name: str
    sweep: str
    question: str
    mode: str
    seed: int
    split: int
    epsilon: float | None
    figures: Mapping[str, Any]


class Views:
    """Answers questions about one consortium's runs.

    Args:
        store: the consortium's database.
        public_key: reads the key that the log's heads are signed with.
        at_work: whether some process is running studies in it now; a run that
            says "running" while nobody works was interrupted.
        progress: how far a run at work on a network is, by its id.
    """

    def __init__(
        self,
        store: Store,
        *,
        public_key: Callable[[], bytes],
        at_work: bool,
        progress: Callable[[str], RunProgress | None] = lambda run_id: None,
    ) -> None:
        self._store, self._progress = store, progress
        self._public_key = public_key
        self._at_work = at_work

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def runs(self) -> tuple[RunSummary, ...]:
        """Returns every run, newest first."""
        with self._store.read() as session:
            rows = session.scalars(select(RunRow).order_by(RunRow.started_at.desc())).all()
            return tuple(self._summary(session, row) for row in rows)

    def dossier(self, run_id: str) -> Dossier:
        """Returns everything about one run; a unique beginning of its id is enough.

        Raises:
            WorkspaceRefused: there is no such run, or several begin so.
            StoreBroken: what is stored about it cannot be read.
        """
        with self._store.read() as session:
            row = find_run(session, run_id)
            try:
                return self._dossier(session, row)
            except (ValueError, KeyError, TypeError, MessageRefused) as error:
                raise StoreBroken(
                    f"run {row.id} cannot be read: its record is damaged; restore a backup"
                ) from error

    def utility(self, run_id: str) -> tuple[UtilityPoint, ...]:
        """Returns utility against epsilon over all that asks what this run asks.

        A point for every finished run, whatever its mode of privacy, and for
        every pooled reference.

        Raises:
            WorkspaceRefused: there is no such run, or several begin so.
        """
        asked, runs = self._alike(run_id)
        references = [found for found in self.references() if found.question == asked]
        return (
            *(point for run in runs for point in _points(run)),
            *(point for reference in references for point in _reference_points(reference)),
        )

    def withheld(self, run_id: str) -> tuple[Withheld, ...]:
        """Returns the finished runs that ask what this run asks and released no AUROC."""
        _, runs = self._alike(run_id)
        return tuple(
            Withheld(epsilon=run.epsilon, seed=run.seed, mode=run.mode, why=run.auroc_released.note)
            for run in runs
            if run.auroc_released is not None
            and run.auroc_released.value is None
            and not run.test_noise
        )

    def _alike(self, run_id: str) -> tuple[str, list[RunSummary]]:
        """Returns what a run asks, and every finished run that asks the same."""
        with self._store.read() as session:
            asked = question(_study(session, find_run(session, run_id)))
        return asked, [
            run for run in self.runs() if run.question == asked and run.state == "finished"
        ]

    def references(self) -> tuple[Reference, ...]:
        """Returns every pooled reference, in the order of the sweep."""
        with self._store.read() as session:
            rows = session.scalars(select(ReferenceRow).order_by(ReferenceRow.id)).all()
            return tuple(
                Reference(
                    name=row.id,
                    sweep=row.sweep,
                    question=question(_study(session, row)),
                    mode=row.mode,
                    seed=row.seed,
                    split=_split_of(_study(session, row)),
                    epsilon=row.epsilon,
                    figures=json.loads(row.figures_json),
                )
                for row in rows
            )

    def verification(self, public: bytes | None = None) -> Verification:
        """Checks the whole log, and all records against it; says under which key, and what faults.

        Args:
            public: the key that is trusted; the one in the folder when None.
        """
        faults = Faults()
        with faults.checking("the key"):
            public = public or self._public_key()
            with self._store.read() as session:
                check_records(session, public, faults)
        return Verification(
            key=(public or b"").hex(), faults=tuple(str(fault) for fault in faults.found)
        )

    def _state(self, row: RunRow) -> str:
        return "interrupted" if row.state == "running" and not self._at_work else row.state

    def _summary(self, session: Session, row: RunRow) -> RunSummary:
        study = _study(session, row)
        released = _released(session, row.id)
        exact = json.loads(row.exact_json) if row.exact_json else {}
        return RunSummary(
            run_id=row.id,
            study_name=study.name,
            question=question(study),
            state=self._state(row),
            started_at=row.started_at,
            seed=row.seed,
            simulation=row.simulation,
            test_noise=row.test_noise,
            mode=study.privacy.mode,
            epsilon=study.privacy.epsilon
            if isinstance(study.privacy, PatientPrivacy) and not row.test_noise
            else None,
            exact_auroc=exact.get("auroc"),
            auroc_released=Interval(**released["auroc"]) if released else None,
            sweep=row.sweep,
            split=_split_of(study) if row.simulation else 0,
            progress=self._progress(row.id) if self._state(row) == "running" else None,
        )

    def _dossier(self, session: Session, row: RunRow) -> Dossier:
        study = _study(session, row)
        released = _released(session, row.id)
        exact = json.loads(row.exact_json) if row.exact_json else {}
        return Dossier(
            run_id=row.id,
            state=self._state(row),
            failure=row.failure,
            simulation=row.simulation,
            test_noise=row.test_noise,
            started_at=row.started_at,
            ended_at=row.ended_at,
            seconds=_seconds(row.started_at, row.ended_at),
            seed=row.seed,
            sweep=row.sweep,
            sweep_share=_sweep_share(session, row),
            study_name=study.name,
            study_title=study.title,
            study_purpose=study.purpose,
            study_digest=row.study_digest,
            study=study.model_dump(mode="json"),
            threshold=study.threshold,
            colluders=study.aggregation.colluders,
            rounds_planned=study.training.rounds,
            rounds=_rounds(session, row.id),
            sites=_sites(row, study, exact, released),
            model_digest=row.model_digest,
            snapshot=f"snapshots/{row.model_digest}.safetensors" if row.model_digest else None,
            auroc_released=Interval(**released["auroc"]) if released else None,
            accuracy_released=Interval(**released["accuracy"]) if released else None,
            risks=risks_from(released["risks"]) if released else None,
            exact_auroc=exact.get("auroc"),
            exact_accuracy=exact.get("accuracy"),
            audit=_audit(session, row.id),
            environment=json.loads(row.environment_json) | _engines(row),
            unprotected_runs=_unprotected(session, row, study),
        )


def find_run(session: Session, run_id: str) -> RunRow:
    """Returns the one run whose id begins so.

    Raises:
        WorkspaceRefused: there is no such run, or several begin so.
    """
    rows = session.scalars(
        select(RunRow).where(RunRow.id.startswith(run_id, autoescape=True))
    ).all()
    exact = [row for row in rows if row.id == run_id]
    if len(exact or rows) == 1:
        return (exact or list(rows))[0]
    if not rows:
        raise WorkspaceRefused(f"there is no run {run_id!r} here: collegium runs list shows them")
    raise WorkspaceRefused(f"{len(rows)} runs begin with {run_id!r}: give more of the name")


def _study(session: Session, row: RunRow | ReferenceRow) -> Study:
    document = session.get_one(StudyRow, row.study_digest).document
    return Study.model_validate_json(document)


def _split_of(study: Study) -> int:
    """Returns the seed of a simulated split; 0 where the study says where every record is."""
    return study.seeds.split if isinstance(study.split, KeyedHashSplit) else 0


def _released(session: Session, run_id: str) -> dict[str, Any] | None:
    payload = evaluation_of(session, run_id)
    found: dict[str, Any] | None = json.loads(payload) if payload else None
    return found


def _rounds(session: Session, run_id: str) -> tuple[RoundFacts, ...]:
    rows = session.scalars(select(RoundRow).filter_by(run_id=run_id).order_by(RoundRow.id))
    return tuple(
        RoundFacts(
            number=row.number + 1,  # people count from one
            attempt=row.attempt,
            purpose=row.purpose,
            state=row.state,
            context=row.context,
            survivors=tuple(json.loads(row.survivors_json)),
            dropped=tuple(json.loads(row.dropped_json)),
            remarks=conduct_from(row.conduct_json).sentences,
            model_digest=row.model_digest,
            opened_at=row.opened_at,
            seconds=_seconds(row.opened_at, row.closed_at),
        )
        for row in rows
    )


def _sites(
    row: RunRow, study: Study, exact: Mapping[str, Any], released: Mapping[str, Any] | None
) -> tuple[SiteFacts, ...]:
    words = _words(row)
    return tuple(
        _site(site, words[site], study, exact, released)
        for site in study.site_names
        if site in words
    )


def _words(row: RunRow) -> dict[str, Summary]:
    """Returns what each hospital signed about its part; the signatures are checked elsewhere."""
    return {site: read_summary(word.data) for site, word in read_words(row.sites_json).items()}


def _unprotected(session: Session, row: RunRow, study: Study) -> tuple[str, ...]:
    """Returns the simulated runs without privacy of this run's hospitals, begun before it ended.

    Later ones would change the report of a run that is over.
    """
    if not row.simulation:
        return ()
    query = select(RunRow).where(RunRow.simulation, RunRow.id != row.id).order_by(RunRow.id)
    if row.ended_at is not None:
        query = query.where(RunRow.started_at < row.ended_at)
    others = session.scalars(query).all()
    studies = {other.study_digest: _study(session, other) for other in others}
    return tuple(
        other.id
        for other in others
        if not isinstance(studies[other.study_digest].privacy, PatientPrivacy)
        and set(studies[other.study_digest].site_names) & set(study.site_names)
    )


def _sweep_share(session: Session, row: RunRow) -> float | None:
    """Returns what all runs of a run's sweep have booked of a patient's budget, where most."""
    if row.sweep is None:
        return None
    rows = session.scalars(select(RunRow).filter_by(sweep=row.sweep))
    shares = [word.budget_share for one in rows for word in _words(one).values()]
    return max((share for share in shares if share is not None), default=None)


def _engines(row: RunRow) -> dict[str, str]:
    """Returns what computed the gradients, as the hospitals signed it."""
    found = sorted({word.engine for word in _words(row).values() if word.engine})
    return {"gradient engine": ", ".join(found)} if found else {}


def _site(
    site: str,
    word: Summary,
    study: Study,
    exact: Mapping[str, Any],
    released: Mapping[str, Any] | None,
) -> SiteFacts:
    figures = (released or {}).get("sites", {}).get(site, {})
    own = exact.get("sites", {}).get(site, {})

    def interval(name: str) -> Interval | None:
        return Interval(**figures[name]) if name in figures else None

    return SiteFacts(
        site=site,
        declared_patients=study.site(site).patients,
        privacy=word,
        released_accuracy=interval("accuracy"),
        released_sensitivity=interval("sensitivity"),
        released_specificity=interval("specificity"),
        exact_auroc=own.get("auroc"),
        exact_accuracy=own.get("accuracy"),
        train_patients=own.get("train_patients"),
        test_patients=own.get("test_patients"),
        second_opinion=_second_opinion(word),
    )


def _second_opinion(word: Summary) -> SecondOpinionFacts | None:
    """Returns what a hospital signed of others' gradients and prices; None where nothing was."""
    if not word.opacus:
        return None
    return SecondOpinionFacts(
        **{field.name: getattr(word, field.name) for field in fields(SecondOpinionFacts)}
    )


def _audit(session: Session, run_id: str) -> Audit:
    """The same head however the log goes on, so that a document can be made again."""
    entries = logged_entries(session, run_id)
    head = head_after(session, entries[-1].index if entries else -1)
    return Audit(
        root=head.root.hex() if head else "",
        size=head.size if head else 0,
        checkpoint=head.note.decode() if head else "",
        entries=tuple(_entry(entry) for entry in entries),
    )


def _entry(entry: LoggedEntry) -> EntryFacts:
    content = entry.content
    return EntryFacts(
        index=entry.index,
        time=content.time,
        type=content.type,
        payload=content.payload,
        leaf_hash=entry.leaf_hash.hex(),
    )


def _seconds(begin: str, end: str | None) -> float | None:
    if end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _points(run: RunSummary) -> list[UtilityPoint]:
    """The run's figures; none with fixed test noise, nor one that was withheld."""
    if run.test_noise:
        return []
    facts: dict[str, Any] = {
        "epsilon": run.epsilon, "seed": run.seed, "mode": run.mode, "split": run.split,
    }  # fmt: skip
    points = []
    if run.exact_auroc is not None:
        points.append(UtilityPoint(auroc=run.exact_auroc, kind=EXACT, **facts))
    released = run.auroc_released
    if released is not None and released.value is not None:
        points.append(
            UtilityPoint(
                auroc=released.value, low=released.low, high=released.high, kind=RELEASED, **facts
            )
        )
    return points


def _reference_points(found: Reference) -> list[UtilityPoint]:
    auroc = found.figures["auroc"]
    if auroc is None:
        return []
    return [
        UtilityPoint(
            epsilon=found.epsilon,
            seed=found.seed,
            auroc=auroc,
            kind=EXACT,
            mode=found.mode,
            split=found.split,
        )
    ]


def open_views(out: Path) -> Views:
    """Returns the views of an output folder.

    Raises:
        WorkspaceRefused: there is no run in it.
        StoreBroken: its database is damaged.
    """
    workspace = Workspace.open(out)
    store = Store.for_reading(workspace.database)
    return Views(
        store,
        public_key=workspace.public_key,
        at_work=workspace.is_at_work,
        progress=lambda run_id: read_progress(workspace.states, run_id),
    )
