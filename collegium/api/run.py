"""Run: one run of a folder, as tables, charts, report and model."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from collegium.api.chart import Chart
from collegium.api.frames import by_name, course_frame, flat, rounds_frame, utility_frame
from collegium.api.inputs import QUIET, PathLike, as_path
from collegium.api.study import Study
from collegium.extras import require_extra
from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest
from compliance.charts import run as charts
from compliance.facts.dossier import CourseFacts, Dossier, run_json
from compliance.facts.formatting import show
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from compliance.reports.document import Block
from compliance.reports.kinds import DEFAULT_KIND
from compliance.reports.one_run.run_page import headlines
from compliance.reports.renderers import FORMS, render_fragment
from compliance.reports.run_tables import sites_table
from compliance.reports.sections import statements, utility
from compliance.reports.sections.columns import columns_section
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.errors import FederationError, StudyRefused, WorkspaceRefused
from protocol.study.study import Study as Document

if TYPE_CHECKING:
    from torch import nn

_HEADLINES = (
    "state", "failure", "seed", "simulation", "test_noise", "started_at", "ended_at", "seconds",
    "rounds", "rounds_planned",
)  # fmt: skip
_LAST = ("claim", "model_digest")


@dataclass(frozen=True)
class Run:
    """One run in a folder. Everything is read anew when it is asked for, also while it runs.

    Attributes:
        out: the folder.
        id: the run's name.

    Example::

        run = cg.open("demo-out").run()
        run.summary()
        run.sites()
        run.chart()
    """

    out: Path
    id: str

    @property
    def state(self) -> str:
        """One of running, interrupted, finished, stopped, failed, refused."""
        return self._dossier().state

    @property
    def claim(self) -> str:
        """The privacy claim in one sentence, for people who sign."""
        return self._dossier().claim

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about a model that is no use, or whose risks are wrong."""
        return self._dossier().warnings

    @property
    def study(self) -> Study:
        """The study as it was registered; an index file of its split is not kept with it."""
        return Study(Document.model_validate(self._dossier().study))

    @property
    def facts(self) -> dict[str, Any]:
        """All of it, as ``collegium runs show --json`` shows it."""
        return run_json(self._dossier())

    def summary(self) -> pd.Series:
        """Returns the run's state, figures, claim and model.

        Returns:
            A value for each of these names: ``study``, ``mode``, ``epsilon`` (the study's),
            ``state``, the task's figures, for example ``auroc`` (exact, a simulation's only) and
            ``auroc_released`` with ``_low``, ``_high`` and ``_note`` (why there is none),
            ``claim``, and more.

        Raises:
            WorkspaceRefused: the run or its folder is gone.
            StoreBroken: the record is damaged.

        Example::

            run.summary()["auroc_released"]
        """
        dossier = self._dossier()
        facts = run_json(dossier)
        privacy = dossier.study["privacy"]
        named = {
            "study": dossier.study_name,
            "mode": privacy["mode"],
            "epsilon": None if dossier.test_noise else privacy.get("epsilon"),
        }
        kinds = dossier.figures.pooled
        figures = [name for kind in kinds for name in (kind.name, f"{kind.name}_released")]
        return pd.Series(
            named | flat({name: facts[name] for name in (*_HEADLINES, *figures, *_LAST)}),
            name=self.id,
            dtype=object,
        )

    def sites(self) -> pd.DataFrame:
        """Returns each hospital's figures: released ones with their 95 % interval, exact ones.

        Returns:
            A row for each hospital, indexed by ``site``. ``auroc``, ``accuracy``,
            ``train_patients`` and ``test_patients`` are exact and a simulation's only;
            ``accuracy_released`` and the like have ``_low``, ``_high`` and ``_note``.

        Raises:
            WorkspaceRefused, StoreBroken: as ``summary``.

        Example::

            run.sites()[["accuracy_released", "accuracy_released_low"]]
        """
        sites: Mapping[str, dict[str, Any]] = run_json(self._dossier())["sites"]
        rows = {
            site: {name: value for name, value in found.items() if name != "second_opinion"}
            for site, found in sites.items()
        }
        return by_name(rows, "site")

    def privacy(self) -> pd.DataFrame:
        """Returns what each hospital's patients pay, as the hospital signed it.

        Returns:
            A row for each hospital, indexed by ``site``: ``epsilon``, ``delta``, ``unit``,
            ``mode``, ``evaluation_epsilon``, what a patient of two hospitals and groups of
            patients pay, ``budget_epsilon`` for life, and the shares of it that all runs
            (``budget_share``) and this one (``run_share``) have booked.

        Raises:
            WorkspaceRefused, StoreBroken: as ``summary``.

        Example::

            run.privacy()["epsilon"].max()
        """
        return by_name(run_json(self._dossier())["epsilon"], "site")

    def rounds(self) -> pd.DataFrame:
        """Returns a row for each round, failed attempts included.

        Returns:
            Columns ``round`` (from 1), ``attempt``, ``round_kind``, ``state``, ``opened_at``,
            ``seconds``, ``sites`` (how many are in the sum), ``dropped`` and ``remarks``.

        Raises:
            WorkspaceRefused, StoreBroken: as ``summary``.

        Example::

            run.rounds()["seconds"].sum()
        """
        return rounds_frame(self._dossier().rounds)

    def course(self) -> pd.DataFrame:
        """Returns a row for each evaluation of a run whose study has interim ones; else no row.

        Returns:
            Indexed by ``after_round``: the name of the ``figure``, what was ``released`` of it
            with ``_low``, ``_high`` and ``_note``, how many ``sites`` were in the sum, the round
            whose model the run was ``rolled_back_to`` (none: nothing was taken back), and the
            ``model_digest``.

        Raises:
            WorkspaceRefused, StoreBroken: as ``summary``.

        Example::

            run.course()["rolled_back_to"].dropna()
        """
        return course_frame(self._dossier().course)

    def utility(self) -> pd.DataFrame:
        """Returns utility against privacy over all runs in the folder that ask the same.

        Returns:
            A row for each figure of a finished run or pooled reference: ``mode``, ``epsilon``,
            ``seed``, ``split``, ``kind`` (exact or released), ``auroc`` (or whatever the task's
            headline is), and for a released one
            ``low`` and ``high``, its 95 % interval, or in ``note`` why it was withheld; ``study``
            names the study where runs of one mode differ by more than epsilon and seeds.

        Raises:
            WorkspaceRefused, StoreBroken: as ``summary``.

        Example::

            run.utility().groupby(["kind", "epsilon"])["auroc"].mean()
        """
        return utility_frame(*self._utility())

    def chart(self, of: str = "utility") -> Chart:
        """Draws the run.

        Args:
            of: ``utility`` (the headline figure against epsilon, over all runs that ask the same),
                ``sites`` (a figure at each hospital), ``privacy`` (each hospital's budget),
                ``rounds``, or ``course`` (the headline figure by round, where the study has
                interim evaluations).

        Raises:
            ValueError: there is no such chart.
            WorkspaceRefused: there is nothing to draw yet.

        Example::

            run.chart("sites")
        """
        drawn: dict[str, Callable[[Dossier], Any]] = {
            "utility": lambda _: charts.utility_against_epsilon(*self._utility()),
            "sites": lambda dossier: charts.site_metrics(dossier.sites, dossier.site_kinds[0]),
            "privacy": lambda dossier: charts.privacy_spent(dossier.sites),
            "rounds": lambda dossier: charts.rounds_timeline(dossier.rounds),
            "course": lambda dossier: charts.figure_by_round(_course_of(dossier)),
        }
        if of not in drawn:
            raise ValueError(f"chart {of!r}: give one of {', '.join(drawn)}")
        dossier = self._dossier()
        try:
            return Chart(drawn[of](dossier))
        except ValueError as error:
            raise WorkspaceRefused(
                f"run {self.id} is {dossier.state}: nothing to draw of its {of} yet"
            ) from error

    def report(
        self,
        to: PathLike,
        *,
        kind: str = DEFAULT_KIND,
        form: str | None = None,
        declarations: PathLike | None = None,
    ) -> Path:
        """Writes a report that officers sign, after holding all records to the signed log.

        Args:
            to: the file.
            kind: ``privacy-statement``, ``study-dossier``, ``processing-record``, ``dpia-annex``,
                ``hipaa-audit-controls``, ``annex-iv``, ``model-card`` or ``security-log``.
            form: ``pdf``, ``html``, ``json``, ``csv`` or ``oscal``; by default as the file's name
                ends.
            declarations: the consortium's declarations; by default ``consortium.yaml`` in the
                folder, if there is one.

        Returns:
            The file's path.

        Raises:
            WorkspaceRefused: no such kind or form, or the file cannot be written.
            StoreBroken: the records are not what was logged; the report says so in its head.

        Example::

            run.report("report.html")
            run.report("card.pdf", kind="model-card")
        """
        path = as_path(to)
        chosen = path.suffix.removeprefix(".").lower() if form is None else form
        if chosen not in FORMS:
            forms = ", ".join(FORMS)
            raise WorkspaceRefused(
                f"{path}: a report is one of {forms}: let the name end so, or give form="
            )
        given = None if declarations is None else as_path(declarations)
        asked = ReportRequest(name=self.id, kind=kind, declarations=given)
        export_report(self.out, asked, chosen, path, QUIET)
        return path

    @property
    def model(self) -> Path:
        """The final model's file: parameters by name (safetensors), named by their digest.

        Raises:
            WorkspaceRefused: the run has none yet, or came to none.

        Example::

            from safetensors.numpy import load_file
            parameters = load_file(run.model)
        """
        return self.out / "snapshots" / f"{self._model(self._dossier())}.safetensors"

    def load_model(self, study: Study | None = None, *, recalibrated: bool = False) -> "nn.Module":
        """Returns the final model as a torch module, its parameters held to their digest.

        Args:
            study: the run's study, read from its file: needed where it starts from pretrained
                parameters or takes code from a recipe, which no run keeps.
            recalibrated: give the logits on which the released counts are calibrated, where they
                say so much (``recalibration_released``); no order of records changes. Refused
                where they are of hospitals' own models: this is the global one.

        It maps float32 records of shape (records, width), or ``(records, 1, *image)`` for images,
        encoded as the study's cohort says, to one logit each.

        Raises:
            WorkspaceRefused: the run has none yet, or came to none; torch is not installed; it is
                to be recalibrated and nothing is known of this model that would do it.
            StoreBroken: the file is missing or was changed.
            StudyRefused: pretrained parameters are needed, or the study is not this run's.
            MessageRefused: its parameters are not those of the study's network.

        Example::

            model = run.load_model()
            risk = torch.sigmoid(model(records))
        """
        require_extra("silo")
        from pipelines.networks.networks import OnLine, build, load_parameters

        dossier = self._dossier()
        if recalibrated and dossier.has_own_models:
            raise WorkspaceRefused(
                f"run {dossier.run_id} released the calibration of the hospitals' own models, "
                "and this is the global one: leave recalibrated out"
            )
        own = Document.model_validate(dossier.study)
        if study is not None and study.digest != own.digest:
            raise StudyRefused(f"study {study.digest[:16]} is not this run's, {own.digest[:16]}")
        task = own.task if study is None else study.document.task
        module = build(task, own.cohort, own.seeds.model)
        load_parameters(module, Workspace(self.out).read_snapshot(self._model(dossier)))
        if recalibrated:
            if dossier.recalibration is None:
                raise WorkspaceRefused(
                    f"run {dossier.run_id} released no calibration: use the model as it is, to "
                    "order patients"
                )
            line = dossier.recalibration
            return OnLine(module, intercept=line.intercept, slope=line.slope).eval()
        return module.eval()

    def __repr__(self) -> str:
        try:
            dossier = self._dossier()
        except FederationError as error:
            return f"Run {self.id} in {self.out}: {error}"
        kind, found = dossier.figures.headline, dossier.headline
        figure = "" if found is None else f", {kind.title} released: {show(found, kind.form)}"
        rounds = f"{dossier.rounds_trained} of {dossier.rounds_planned} rounds"
        return f"Run {self.id} of {dossier.study_name}: {dossier.state}, {rounds}{figure}"

    def _repr_html_(self) -> str | None:
        try:
            dossier, (points, withheld) = self._dossier(), self._utility()
        except FederationError:
            return None  # its plain text says why
        blocks: list[Block] = [headlines(dossier)]
        if dossier.sites:
            blocks.append(sites_table(dossier))
        if not dossier.has_model:
            blocks += columns_section(dossier).blocks
        elif points:
            blocks += utility.utility_section(points, withheld).blocks
        return render_fragment(statements.banner(dossier), blocks, title=dossier.study_title)

    def _dossier(self) -> Dossier:
        with closing(open_views(self.out)) as views:
            return views.dossier(self.id)

    def _utility(self) -> tuple[tuple[UtilityPoint, ...], tuple[Withheld, ...]]:
        with closing(open_views(self.out)) as views:
            return views.utility(self.id), views.withheld(self.id)

    def _model(self, dossier: Dossier) -> str:
        if not dossier.has_model:
            raise WorkspaceRefused(f"run {self.id} counted columns: it has no model")
        if dossier.model_digest is None:
            raise WorkspaceRefused(f"run {self.id} is {dossier.state}: it has no final model")
        return dossier.model_digest


def _course_of(dossier: Dossier) -> CourseFacts:
    if dossier.course is None:
        raise ValueError("the study has no interim evaluations")
    return dossier.course
