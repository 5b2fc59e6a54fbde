"""Study: the plan that hospitals agree to, as it is read, varied, checked and planned."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from collegium.api.frames import by_name
from collegium.api.inputs import PathLike, as_path, number_of, with_printed_lines
from collegium.extras import require_extra
from collegium.studies.bundled import DEFAULT_STUDY, bundled_study
from compliance.facts.formatting import Format
from compliance.facts.privacy_utility import DISTRIBUTED, MODES, PER_SITE
from compliance.reports.document import (
    Column,
    Commands,
    Fact,
    Facts,
    Paragraph,
    Statement,
    Table,
    Tone,
)
from compliance.reports.renderers import render_fragment
from pipelines.recipes.admission import read_with_recipes
from protocol.counted import counted
from protocol.errors import StudyRefused
from protocol.study.privacy import NoPrivacy
from protocol.study.study import Study as Document
from protocol.study.study_file import read_study

if TYPE_CHECKING:
    from torch import nn

_CHANGED = "the changed study"
_LINE = re.compile(rf"^{_CHANGED}:\d+", re.MULTILINE)


@dataclass(frozen=True)
class Study:
    """A study: purpose, cohort, hospitals, task, training, privacy, evaluation and seeds.

    It is frozen: what changes it returns another study, with another digest.

    Attributes:
        document: the whole plan, for example ``study.document.training.rounds``.
        folder: where the document lies; an index file that it names is read from there.
        data: the folder of its records, for a bundled study; others are given theirs when they
            are checked or run.

    Example::

        study = cg.Study.load("study.yaml")
        study.with_epsilon(0.5).check(data="records")
    """

    document: Document
    folder: Path = Path()
    data: Path | None = None

    @classmethod
    def load(cls, path: PathLike) -> "Study":
        """Reads a study document.

        Args:
            path: the YAML file, see docs/study.md.

        Returns:
            The study.

        Raises:
            StudyRefused: the file cannot be read, or a line for each of its faults.

        Example::

            study = cg.Study.load("examples/heart-disease/study.yaml")
        """
        file = as_path(path)
        return cls(read_with_recipes(file), file.parent)

    @classmethod
    def bundled(cls, name: str = DEFAULT_STUDY) -> "Study":
        """Returns a study whose records come with Collegium; the default is the demo's.

        Args:
            name: ``heart-disease`` or ``breast-cancer``.

        Raises:
            StudyRefused: there is none of that name; says which there are.

        >>> Study.bundled().site_names
        ('cleveland', 'hungarian', 'switzerland', 'va')
        """
        found = bundled_study(name)
        return cls(found.study, found.document.parent, found.data)

    @property
    def name(self) -> str:
        """The study's short name."""
        return self.document.name

    @property
    def title(self) -> str:
        """One line for people."""
        return self.document.title

    @property
    def purpose(self) -> str:
        """The purpose of the study; hospitals' policies read it."""
        return self.document.purpose

    @property
    def digest(self) -> str:
        """The SHA-256 that names the study: 64 hexadecimal digits, equal for equal plans."""
        return self.document.digest

    @property
    def site_names(self) -> tuple[str, ...]:
        """The hospitals, sorted."""
        return self.document.site_names

    @property
    def epsilon(self) -> float | None:
        """The epsilon that the study promises one patient; None without privacy."""
        privacy = self.document.privacy
        return None if isinstance(privacy, NoPrivacy) else privacy.epsilon

    def with_seed(self, seed: int) -> "Study":
        """Returns the study with another seed of the model, from 0 to 2**53 - 1.

        >>> Study.bundled().with_seed(7).document.seeds.model
        7
        """
        return self.replace(seeds={"model": seed})

    def with_split(self, seed: int) -> "Study":
        """Returns the study with another seed of the split: other patients are tested on.

        >>> Study.bundled().with_split(7).document.seeds.split
        7
        """
        return self.replace(seeds={"split": seed})

    def with_epsilon(self, epsilon: float | None) -> "Study":
        """Returns the study at another epsilon, its noise chosen anew, as ``sweep`` does.

        Args:
            epsilon: above zero; None trains the same way without noise and promises nothing.

        Raises:
            StudyRefused: epsilon makes no sense, or nothing could be learned under its noise.

        >>> Study.bundled().with_epsilon(0.5).epsilon
        0.5
        """
        from collegium.simulation.sweeps.grid import at_epsilon, parse_epsilons

        (wanted,) = parse_epsilons("none" if epsilon is None else repr(number_of(epsilon)))
        if isinstance(self.document.privacy, NoPrivacy) and wanted is not None:
            raise StudyRefused(
                "privacy.mode is none, so there is no clip and delta to go with an epsilon: "
                "declare mode per_site"
            )
        return replace(self, document=at_epsilon(self.document, wanted))

    def replace(self, **changes: Any) -> "Study":
        """Returns the study with other settings, checked like a document.

        Args:
            changes: sections of the study by name; of a section only the given keys change.

        Raises:
            StudyRefused: a line for each fault.

        >>> Study.bundled().replace(name="short", training={"rounds": 2}).document.training.rounds
        2
        """
        whole = self.document.model_dump(mode="json")
        for name, value in changes.items():
            known = whole.get(name)
            if isinstance(known, dict) and isinstance(value, Mapping):
                value = {**known, **value}
            whole[name] = value
        text = json.dumps(whole, indent=1, default=_plain)
        try:
            document = read_study(text, _CHANGED)
        except StudyRefused as error:  # there is no file whose line could be named
            raise StudyRefused(_LINE.sub(_CHANGED, str(error))) from error
        document.attach_from(self.document)
        return replace(self, document=document)

    def sites(self) -> pd.DataFrame:
        """Returns a row for each hospital: declared training patients, and what it promises.

        Returns:
            Columns ``patients``, ``records``, ``epsilon``; indexed by ``site``.

        Example::

            study.sites()["patients"].sum()
        """
        return by_name(
            {
                name: {
                    "patients": self.document.site(name).patients,
                    "records": self.document.site(name).records,
                    "epsilon": self._epsilon_of(name),
                }
                for name in self.site_names
            },
            "site",
        )

    def check(self, data: PathLike | None = None, *, budget: float = 10.0) -> "Check":
        """Checks what the study promises and, with ``data``, every hospital's records.

        Nothing is trained and nothing is written: it takes seconds.

        Args:
            data: the folder that holds the records the study names; a bundled study needs none.
            budget: a hospital's budget for life (epsilon), of which the study takes a share.

        Returns:
            The answer; shown, it says what ``collegium study check`` says.

        Raises:
            StudyRefused: the study cannot keep what it promises.
            CohortRefused: records do not fit the contract, a line for each fault.

        Example::

            study.check(data="records").sites
        """
        return Check(self, records_of(self, data), budget)

    def load_model(self, file: PathLike) -> "nn.Module":
        """Returns the model of a file as a torch module of this study's network.

        For what a hospital keeps, ``results/RUN/model.safetensors`` or its own
        ``personalised-model.safetensors``; ``Run.load_model`` also holds a model to its digest.
        ``model.json`` beside it says how a record becomes an input.

        Args:
            file: the parameters that were trained (safetensors).

        Returns:
            A module from float32 records, encoded as the study's cohort says, to logits.

        Raises:
            StoreBroken: the file cannot be read, or is no model.
            MessageRefused: its parameters are not those of the study's network.
            WorkspaceRefused: torch is not installed.

        Example::

            study = cg.Study.load("hospital/studies/DIGEST/study.yaml")
            model = study.load_model("hospital/results/RUN/personalised-model.safetensors")
            risk = torch.sigmoid(model(records))
        """
        require_extra("silo")
        from pipelines.networks.networks import build, load_parameters
        from silos.results.kept_models import read_model

        own = self.document
        module = build(own.task, own.cohort, own.seeds.model)
        load_parameters(module, read_model(as_path(file)))
        return module.eval()

    def plan(
        self,
        *,
        patients: Sequence[int] | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        steps: int | None = None,
        prevalence: float | None = None,
        auroc: float | None = None,
        colluders: int | None = None,
        budget: float = 10.0,
    ) -> "Plan":
        """Advises mode, steps, learning rate, clip and start, beside the study's own.

        Args:
            patients: training patients of each hospital; the declared ones by default.
            epsilon, delta: what a patient may pay; the study's by default.
            steps: how many steps; 60 by default.
            prevalence: the share of patients who are ill; the study's by default.
            auroc: what published models reach without privacy; 0.8 by default.
            colluders: hospitals that may collude; the study's by default.
            budget: a hospital's budget for life (epsilon), to show its share.

        Returns:
            The advice; shown, it says what ``collegium study plan`` says.

        Raises:
            StudyRefused: something is missing or makes no sense.

        Example::

            print(study.plan(patients=[2000, 500, 300]).lines)
        """
        from collegium.studies.question import PlanOptions

        options = PlanOptions(
            patients=None if patients is None else ",".join(str(count) for count in patients),
            epsilon=epsilon, delta=delta, steps=steps, prevalence=prevalence, auroc=auroc,
            colluders=colluders, budget=budget,
        )  # fmt: skip
        return Plan(self, options)

    def __repr__(self) -> str:
        hospitals = f"{len(self.site_names)} hospitals"
        return f"Study {self.name}: {hospitals}, {self._privacy()}, {self._steps()}"

    def _steps(self) -> str:
        if not self.document.has_model:
            return "columns counted"
        if not self.document.trains:
            return "a given model evaluated, nothing trained"
        training = self.document.training
        return f"{counted(training.rounds, 'round')} of {counted(training.local_steps, 'step')}"

    def _repr_html_(self) -> str:
        document = self.document
        facts = Facts(
            title="Study",
            rows=(
                Fact(label="Purpose", value=self.purpose),
                Fact(label="Privacy", value=self._privacy()),
                Fact(
                    label="Training",
                    value=f"{document.task.network.target}, {document.training.strategy}, "
                    f"{self._steps()}"
                    if document.trains
                    else f"none: {self._steps()}",
                ),
                Fact(label="Must answer", value=document.threshold, form=Format.COUNT),
                Fact(label="May collude", value=document.aggregation.colluders, form=Format.COUNT),
                Fact(label="Digest", value=self.digest, form=Format.CODE),
            ),
        )
        sites = Table(
            title="Hospitals",
            columns=(
                Column(title="Hospital"),
                Column(title="Training patients, declared", form=Format.COUNT),
                Column(title="ε", form=Format.EPSILON),
            ),
            rows=tuple(
                (name, document.site(name).patients, self._epsilon_of(name))
                for name in self.site_names
            ),
        )
        return render_fragment((), (facts, sites), title=self.title)

    def _privacy(self) -> str:
        privacy = self.document.privacy
        if isinstance(privacy, NoPrivacy):
            return "no privacy"
        return f"{MODES[privacy.mode]}, ε {privacy.epsilon:g}, δ {privacy.delta:g}"

    def _epsilon_of(self, site: str) -> float | None:
        privacy = self.document.privacy_of(site)
        return None if isinstance(privacy, NoPrivacy) else privacy.epsilon


def study_of(given: "Study | PathLike") -> Study:
    """Returns a study, read where a path was given."""
    return given if isinstance(given, Study) else Study.load(given)


def records_of(study: Study, data: PathLike | None) -> Path | None:
    """Returns the folder of a study's records: the one given, or the bundled study's own."""
    return study.data if data is None else as_path(data)


class Check:
    """The check of a study: its privacy promise, and the quality of its hospitals' records.

    Attributes:
        facts: what ``collegium study check --json`` shows.

    Example::

        found = study.check(data="records")
        found.facts["evaluation"]
    """

    def __init__(self, study: Study, data: Path | None, budget: float) -> None:
        from collegium.studies.preflight import check_records, describe_study, finds_records

        document, folder = study.document, study.folder
        self._title = study.title
        reads = finds_records(document, data)
        promise, self._promise = with_printed_lines(
            lambda to: describe_study(document, to, budget, with_records=reads)
        )
        records: dict[str, Any] = {}
        self._quality = ""
        if reads:
            records, self._quality = with_printed_lines(
                lambda to: check_records(document, folder, data, to)
            )
        self.facts = promise | records
        self._read: Mapping[str, Any] = records.get("sites", {})

    @property
    def sites(self) -> pd.DataFrame:
        """A row for each hospital whose records were read; none where no records were read.

        Columns: ``records``, ``patients``, ``patients_ill`` of the whole, of ``train`` and of
        ``test``, and ``remarks``, what is odd about them. A small count is text, as it is shown:
        "fewer than 10", or "not shown" where one would follow from it.
        """
        return by_name({site: _counts(found) for site, found in self._read.items()}, "site")

    def __repr__(self) -> str:
        return "\n".join(filter(None, (self._promise, self._quality)))

    def _repr_html_(self) -> str:
        valid, *lines = (line.strip() for line in self._promise.splitlines())
        counts = {site: _counts(found) for site, found in self._read.items()}
        titles = ("Records", "Training patients", "ill", "Test patients", "ill")
        keys = ("records", "train_patients", "train_patients_ill", "test_patients",
                "test_patients_ill")  # fmt: skip
        table = Table(
            title="Records",
            columns=(
                Column(title="Hospital"),
                *(Column(title=title, form=Format.COUNT) for title in titles),
                Column(title="Remarks"),
            ),
            rows=tuple(
                (site, *(row[key] for key in keys), row["remarks"]) for site, row in counts.items()
            ),
        )
        said = tuple(Paragraph(text=line) for line in lines)
        good = Statement(text=valid, tone=Tone.GOOD)
        return render_fragment((good,), (*said, *([table] if counts else [])))


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("records", "patients", "patients_ill")
    parts = {"": "whole", "train_": "train", "test_": "test"}
    counts = {f"{at}{name}": found[part][name] for at, part in parts.items() for name in names}
    return counts | {"remarks": "; ".join(found["remarks"])}


class Plan:
    """Settings that suit these hospitals, and the study's own beside them.

    Attributes:
        facts: what ``collegium study plan --json`` shows.

    Example::

        advised = study.plan()
        advised.settings
        print(advised.lines)
    """

    def __init__(self, study: Study, options: Any) -> None:
        from collegium.studies.planning.plan import plan_study

        self.facts, self._text = with_printed_lines(
            lambda to: plan_study(study.document, options, to)
        )

    @property
    def lines(self) -> str:
        """The advised lines, to be pasted into the study document."""
        return "\n".join(self.facts["lines"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the advice, a sentence each."""
        return tuple(self.facts["notes"])

    @property
    def settings(self) -> pd.DataFrame:
        """A row for per-site noise, for shared noise and for the study's own settings.

        ``expected_auroc`` is the mean of the forecast; empty where nothing is forecast.
        """
        return by_name(dict(self._settings()), "settings")

    def _settings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        named = {
            PER_SITE: MODES[PER_SITE],
            DISTRIBUTED: MODES[DISTRIBUTED],
            "study": "the study",
        }
        for key, title in named.items():
            found = self.facts[key]
            if found is not None:
                expected = found["expected_auroc"]
                yield title, {**found, "expected_auroc": expected and expected["auroc"]}

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        keys = ("sampling_rate", "steps", "noise_multiplier", "clip", "learning_rate")
        titles = ("Sampling rate", "Steps", "Noise multiplier", "Clip", "Learning rate")
        table = Table(
            title="Settings",
            columns=(
                Column(title=""),
                *(Column(title=title, form=Format.NUMBER) for title in titles),
                Column(title="Expected AUROC", form=Format.RATIO),
            ),
            rows=tuple(
                (title, *(row[key] for key in keys), row["expected_auroc"])
                for title, row in self._settings()
            ),
        )
        advised = Commands(lines=((self.lines, "the advised lines of the study"),))
        said = tuple(Paragraph(text=note) for note in self.notes)
        return render_fragment((), (table, advised, *said))


def _plain(value: Any) -> Any:
    """Returns a number of numpy's or the like as Python's own."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot stand in a study: {value!r}")
