"""Results of a hospital's runs, for its own people.

Its own folder is all that is read. What a run came to stands in the
coordinator's signed statement of its end; the model is held to that statement.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compliance.facts.figures import TASK_FIGURES
from compliance.governance.study_store import StudyStore
from protocol.errors import MessageRefused, PolicyRefused, StudyRefused, WorkspaceRefused
from protocol.study.strategies.registry import strategy_of
from protocol.study.study import Study
from protocol.transport.run_announcement import ReleasedFigure, RunResult, open_end
from protocol.vectors.tensors import model_digest
from silos.config.coordinator_identity import coordinator_keys
from silos.config.directory import reading
from silos.config.site_file import SiteFile
from silos.config.study_authorization import admit_recipes
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRun, JoinedRuns, told_state
from silos.database.run_decisions import evaluated_models
from silos.isolation.remote_trainer import TrainingProcess, machine_of
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts
from silos.patients.own_records import read_own_records
from silos.results.kept_models import keep_model, model_file, personalised_file, read_model

#: What stands beside every exact figure.
NOT_PRIVATE = (
    "These figures are exact. They are not differentially private: they must not leave this "
    "hospital; nothing of them is sent, or written but where --html asks for it."
)

#: A comparison is trained by one process of this machine, whatever a study may use.
_ALONE = {"workers": 1, "ray_address": None, "ray_token_file": None}
#: The digest of the model of a study that trains nothing.
_NO_MODEL = model_digest({})
_OTHER_END = (
    "the coordinator signed another final model to this hospital than the one that it sent here "
    "to be evaluated"
)


@dataclass(frozen=True, kw_only=True)
class OwnResults:
    """One run as this hospital knows it; ``announced`` is what the coordinator signed of its end.

    ``state``: joined, finished, ended (without a result), left or refused.
    ``cohort`` is what it drew from, and ``has_left`` whether any of its patients left since.
    ``model`` is the digest of the model in ``model_file``, ``evaluated`` of the one that
    this hospital evaluated; None where it evaluated none, or where the run went back to one that
    it did not. ``announced`` is None where the
    run is under way, did not reach its end, or was left before. ``task`` is the study's kind,
    None where no study is kept here; ``has_own_models`` is whether each hospital's patients
    were scored by its own model, and ``personalised_file`` this hospital's.
    """

    run_id: str
    study: str | None
    study_digest: str
    state: str
    joined_at: str
    changed_at: str
    announced: RunResult | None
    model_file: Path | None
    model: str | None
    evaluated: str | None = None
    cohort: FrozenCohort | None = None
    has_left: bool = False
    task: str | None = None
    has_own_models: bool = False
    personalised_file: Path | None = None

    @property
    def figures(self) -> tuple[ReleasedFigure, ...]:
        """The figures that the coordinator signed, the headline first."""
        if self.announced is None:
            return ()
        known = TASK_FIGURES[self.task].pooled if self.task else ()
        places = {kind.name: place for place, kind in enumerate(known)}
        return tuple(
            sorted(self.announced.figures, key=lambda one: places.get(one.name, len(places)))
        )

    @property
    def about_figures(self) -> str:
        """The statement about whose figures these are, for people."""
        whose = ", each hospital's by its own model" if self.has_own_models else ""
        return f"of all hospitals' test patients together{whose}, as the coordinator signed it"

    @property
    def about_cohort(self) -> str:
        """The statement about the patients whom the run drew from, for people."""
        if self.cohort is None:
            return "none: this run never drew from records here"
        said = f"{self.cohort.words}, digest {self.cohort.digest[:16]}"
        if not self.has_left:
            return said
        return (
            f"{said}. Patients left since: no later step draws them; what was sent before, and "
            "every model made of it, stays as it is"
        )

    @property
    def is_other_end(self) -> bool:
        """Whether the coordinator signed another final model than this hospital evaluated."""
        if self.announced is None or self.evaluated is None:
            return False
        return self.evaluated != self.announced.model

    @property
    def is_announced_model(self) -> bool | None:
        """Whether the model here is the one that the coordinator signed; None where one lacks."""
        if self.announced is None or self.model is None:
            return None
        return self.model == self.announced.model

    @property
    def about_model(self) -> str:
        """The statement about the model, for people: whether it may be used, and where it lies."""
        if self.is_other_end:
            return (
                f"NOT to be used: {_OTHER_END}. Ask the lead, and the other hospitals what they "
                "were told"
            )
        if self.announced is not None and self.announced.model == _NO_MODEL:
            return "none: the study counts columns; the lead has their figures"
        if self.is_announced_model:
            return "its digest is the one that the coordinator signed at the run's end"
        if self.is_announced_model is False:
            return (
                "NOT the model that the coordinator signed at the run's end: use neither before "
                "you have asked the consortium's lead"
            )
        if self.model is not None:
            return "the coordinator has signed no result of this run: it is not known to be final"
        if self.announced is not None and self.evaluated is not None:
            return (
                "not here, though this hospital evaluated it: it could not be written, or was "
                "removed. Ask the lead for the file and give it with --model"
            )
        if self.announced is not None:
            return (
                "not here: this hospital had no part in the evaluation. Ask the lead for the file "
                "and give it with --model: it is held to the digest that the coordinator signed"
            )
        return "none came back: the run is under way here, or ended without one"

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read."""
        announced = self.announced
        return {
            "run_id": self.run_id,
            "study": self.study,
            "digest": self.study_digest,
            "state": self.state,
            "joined_at": self.joined_at,
            "changed_at": self.changed_at,
            "model_file": str(self.model_file) if self.model_file else None,
            "model_digest": self.model,
            "personalised_file": str(self.personalised_file) if self.personalised_file else None,
            "figures_are_of_own_models": self.has_own_models,
            "model_is_announced": self.is_announced_model,
            "model_evaluated": self.evaluated,
            "cohort": self.cohort and self.cohort.to_json(),
            "patients_left_since": self.has_left,
            "announced": announced
            and {
                "model_digest": announced.model,
                **{f"{one.name}_released": one.to_interval() for one in self.figures},
            },
        }


def list_results(home: Path) -> tuple[OwnResults, ...]:
    """Returns every run that this hospital was asked to join, newest first.

    Raises:
        SiteFileRefused, WorkspaceRefused, LedgerBroken: no hospital can be read there.
        StoreBroken: a kept model is damaged.
    """
    with reading(home) as (_, hospital):
        runs = reversed(JoinedRuns(hospital).all())
        return tuple(own_results(home, hospital, run) for run in runs)


def results_of(home: Path, run_id: str) -> OwnResults:
    """Returns one run; a unique beginning of its name is enough.

    Raises:
        WorkspaceRefused: there is no such run here, or several begin so.
    """
    with _run(home, run_id) as (_, hospital, run):
        return own_results(home, hospital, run)


def take_model(home: Path, run_id: str, path: Path) -> OwnResults:
    """Keeps a model that was handed over, if it is the one that the coordinator signed.

    Raises:
        PolicyRefused: it is another, or the coordinator has signed no result of the run.
        WorkspaceRefused: no such run is here, or the folder cannot be written.
        StoreBroken: the file is no model.
    """
    found, model = results_of(home, run_id), read_model(path)
    if found.announced is None:
        raise PolicyRefused(f"run {found.run_id}: the coordinator has signed no result of it here")
    if found.announced.model == _NO_MODEL:
        raise PolicyRefused(f"run {found.run_id}: its model is {found.about_model}")
    if found.is_other_end:
        raise PolicyRefused(f"run {found.run_id}: {_OTHER_END}: no model is taken")
    if model_digest(model) != found.announced.model:
        raise PolicyRefused(
            f"{path} is not the final model of run {found.run_id}: its digest begins "
            f"{model_digest(model)[:16]}, the coordinator signed {found.announced.model[:16]}"
        )
    study, _ = StudyStore(home / "studies").read(found.study_digest)
    try:
        kept = keep_model(home, found.run_id, study, model)
    except OSError as error:
        raise WorkspaceRefused(f"{home} cannot be written: {error.strerror}") from error
    return replace(found, model_file=kept, model=found.announced.model)


def compare_with_own(home: Path, run_id: str) -> dict[str, Any]:
    """Returns what the run's model and one trained here alone reach on the own test patients.

    A personalised model that the run left here is compared with both. See
    ``own_comparison.compare``; training happens in a process that gave up files and network, as in
    a run.

    Raises:
        PolicyRefused: no model of the run is here; a recipe of the study is not allowed any more,
            or not as in its wheel.
        StudyRefused: the study is not kept here.
        CohortRefused: the records cannot be read, or do not fit.
        UpdateRefused: training failed.
    """
    return ask_about_model(home, run_id, "compare")[1]


def ask_about_model(home: Path, run_id: str, question: str) -> tuple[str, dict[str, Any]]:
    """Returns the run, and what the process that trains answers about its model here.

    It is given study, site, the run's two parts of records, the final model and the personalised
    one, where there is one.

    Args:
        home: the hospital's folder.
        run_id: the run, or a unique beginning.
        question: a name that ``silos.isolation.training_process`` knows.

    Raises:
        PolicyRefused: no model of the run is here, or its study trains nothing; a recipe of the
            study is not allowed any more, or not as in its wheel.
        StudyRefused, CohortRefused: see ``compare_with_own``.
    """
    with _run(home, run_id) as (site, hospital, run):
        found = own_results(home, hospital, run)
        if found.model_file is None:
            raise PolicyRefused(f"run {run.run_id}: its model is {found.about_model}")
        study, index = StudyStore(home / "studies").read(run.study)
        if not study.trains:
            raise PolicyRefused(
                f"run {run.run_id}: its study trains nothing, so there is no training of it to "
                "compare with, and no training patient in its model"
            )
        cohort = FrozenCohorts(hospital).of_run(run.run_id)
        own = read_own_records(home, site, study, index, hospital, cohort)
        train, test = own.train, own.test
    admit_recipes(site, home, study)
    machine = machine_of(home, site.resources.model_copy(update=_ALONE))
    process = TrainingProcess(machine, sorted({*train.descriptors, *test.descriptors}))
    try:
        model, personalised = read_model(found.model_file), found.personalised_file
        answered: dict[str, Any] = process.ask(
            question, study, site.name, train, test, model,
            None if personalised is None else read_model(personalised),
        )  # fmt: skip
    finally:
        process.close()
    return run.run_id, answered


@contextmanager
def _run(home: Path, run_id: str) -> Iterator[tuple[SiteFile, SiteDatabase, JoinedRun]]:
    with reading(home) as (site, hospital):
        yield site, hospital, JoinedRuns(hospital).named(run_id)


def own_results(home: Path, hospital: SiteDatabase, run: JoinedRun) -> OwnResults:
    """Returns what came back of one run.

    Raises:
        MessageRefused: what is kept of its end was signed by no coordinator of this hospital.
        StoreBroken: the kept model is damaged.
    """
    path = model_file(home, run.run_id)
    try:
        study: Study | None = StudyStore(home / "studies").read(run.study)[0]
    except StudyRefused:  # it asked to run and was never approved
        study = None
    announced, cohorts = announced_result(home, hospital, run), FrozenCohorts(hospital)
    cohort = cohorts.of_run(run.run_id)
    return OwnResults(
        run_id=run.run_id,
        study=None if study is None else study.name,
        study_digest=run.study,
        state=told_state(run, has_result=announced is not None),
        joined_at=run.joined_at,
        changed_at=run.changed_at,
        announced=announced,
        model_file=path,
        model=None if path is None else model_digest(read_model(path)),
        evaluated=evaluated(hospital, run.run_id, study, announced),
        cohort=cohort,
        has_left=cohort is not None and bool(cohorts.left(cohort)),
        task=None if study is None else study.task.kind,
        has_own_models=study is not None and strategy_of(study.training).personal is not None,
        personalised_file=personalised_file(home, run.run_id),
    )


def evaluated(
    hospital: SiteDatabase, run_id: str, study: Study | None, announced: RunResult | None
) -> str | None:
    """Returns the model that the hospital evaluated, of several the one that the run ended with."""
    with hospital.session() as session:
        found = evaluated_models(session, run_id)
    if announced is not None and announced.model in found.values():
        return announced.model
    went_back = announced is not None and study is not None and study.evaluation.roll_back
    if study is not None and went_back and not set(study.evaluations.numbers) <= found.keys():
        return None  # to a model, maybe, in whose evaluation this hospital had no part
    return found[min(found)] if found else None


def announced_result(home: Path, hospital: SiteDatabase, run: JoinedRun) -> RunResult | None:
    """Returns what a coordinator of this hospital has signed that a run came to.

    Raises:
        MessageRefused: what is kept of its end was signed by none.
    """
    if run.end is None:
        return None
    for key in coordinator_keys(home, hospital):
        try:
            return open_end(run.end, run.run_id, key).result
        except MessageRefused:
            continue
    raise MessageRefused(
        f"run {run.run_id}: no coordinator of this hospital has signed its end; ask "
        "the lead, and run collegium audit verify --home FOLDER"
    )
