"""The study document that ``collegium study new`` writes: valid as it stands, to be filled in."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from collegium.studies.authoring.template_tasks import TEMPLATES, TaskPassages
from compliance.planning.advice import PlanningInput, SuitableSettings, advise
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study_file import read_study
from protocol.study.task.task import LABEL_FORMS

_EXAMPLE_SITES = ("hospital-a", "hospital-b", "hospital-c")
#: Of each example site; with 300 nothing would be released at epsilon 1.
_PATIENTS = 1000
_PREVALENCE = 0.1
_INPUTS = 3  # one number, and a category of three values that takes two
_TEMPLATE = """\
{head}# A study: what the hospitals agree to. Mend every line that is not yours, then
#   collegium study check THIS-FILE
# docs/study.md explains every key; editors read docs/study.schema.json.
collegium: 1
name: {name}                # lower case; its digest, not its name, is what gets approved
title: {title}
# Hospitals read this, and their policies look for phrases in it.
purpose: >
  {purpose}

# The contract that every hospital's records must fit. Ranges, centre and scale are declared
# from general knowledge, or released by a statistics study; never computed from raw records.
cohort:
{cohort}
# patients: each hospital's {whose} patients, a public round number that it does not exceed.
# records: the file that a simulation takes for it; a real hospital names its own in site.yaml.
sites:
{sites}

{rest}"""
_LEARNING = """\
# Each hospital splits its own patients with a key that only it has.
split: {{method: keyed_hash, test_fraction: 0.3}}

task:
{task}
{advice}
training:
  rounds: {rounds}
  local_steps: 1
  learning_rate: {learning_rate:g}
  micro_batch: {micro_batch}           # patients that are computed together

# What each hospital promises each of its patients.
privacy:
  mode: per_site
  epsilon: {epsilon:g}
  delta: 1.0e-5              # below 1 in the number of patients
  clip: {clip:g}
  sampling_rate: 1.0         # every patient in every step

# threshold: how many must answer; left out: two thirds of the sites and one more.
aggregation: {{colluders: 1}}
evaluation: {{bins: auto}}   # of scores: as many as suit the patients and epsilon
seeds: {{model: 1, split: 1}}
"""
#: Of a study that counts columns and learns nothing.
_COUNTING = """\
task:
{task}
# What each hospital promises each of its patients, of training and of tests alike: each pays once.
privacy:
  mode: per_site
  epsilon: {epsilon:g}
  delta: 1.0e-5              # below 1 in the number of patients
  sampling_rate: 1.0         # every patient is counted

# threshold: how many must answer; left out: two thirds of the sites and one more.
aggregation: {{colluders: 1}}
evaluation: {{site_share: 0.05}}   # of the budget, for each hospital's own number of patients
"""


_ADVICE = """\
# Learning rate and clip as `collegium study plan THIS-FILE` advises for these sites and columns:
# ask it again when sites, columns, prevalence or epsilon have changed."""
_GUIDE_ONLY = """\
# To begin from. `collegium study plan THIS-FILE` builds the network and advises others, as a guide
# only: try them by `collegium sweep` on public or synthetic records."""
_NO_ADVICE = """\
# To begin from: `collegium study plan` knows binary classification only. Choose them on public
# records; a choice on patients' records is to be paid for (docs/planning.md)."""


def study_template(
    name: str = "my-study",
    *,
    task: str = "binary_classification",
    title: str = "What the study is about",
    purpose: str = "Say here, for the hospitals' officers, what is learned and what for.",
    sites: Sequence[str] = _EXAMPLE_SITES,
    epsilon: float = 1.0,
    passages: TaskPassages | None = None,
    head: str = "",
) -> str:
    """Returns the text of a new study.

    ``passages`` stand in place of the task's own, ``head`` are lines of comment before all else.

    Raises:
        StudyRefused: a name, the task, the number of sites or epsilon is wrong.
    """
    if task not in TEMPLATES:
        raise StudyRefused(f"--template {task}: one of {', '.join(TEMPLATES)}")
    with_table = passages is None
    passages = passages or TEMPLATES[task]
    for words in (title, purpose):
        if "\n" in words or ": " in words or "#" in words:
            raise StudyRefused(
                f"--title, --purpose: {words[:40]!r}: without line ends, '#' and ': ', which mean "
                "something else in YAML; write the text into the study file in quotes"
            )
    if not 0 < epsilon < math.inf:
        raise StudyRefused(f"--epsilon must be greater than 0 and finite: {epsilon:g}")
    if task == "statistics":
        rest = _COUNTING.format(task=passages.task, epsilon=epsilon)
    else:
        plan = _advised(len(sites), epsilon)
        chosen = passages.settings or (plan.steps, plan.learning_rate, plan.clip)
        rounds, learning_rate, clip = chosen
        rest = _LEARNING.format(
            rounds=rounds,
            learning_rate=learning_rate,
            clip=clip,
            advice=_advice(task, with_table=with_table),
            task=passages.task.replace("PREVALENCE", f"{_PREVALENCE:g}"),
            micro_batch=passages.micro_batch,
            epsilon=epsilon,
        )
    text = _TEMPLATE.format(
        head=head,
        rest=rest,
        whose="counted" if task == "statistics" else "training",
        cohort=passages.cohort,
        name=name,
        title=title,
        purpose=purpose,
        sites="\n".join(
            f"  - {{name: {site}, records: {site}.{passages.records}, patients: {_PATIENTS}}}"
            for site in sites
        ),
    )
    read_study(text, "the new study")
    return text


def _advice(task: str, *, with_table: bool) -> str:
    """Returns what is said of rounds, learning rate and clip."""
    if task == "binary_classification":
        return _ADVICE if with_table else _GUIDE_ONLY
    return _NO_ADVICE if task in LABEL_FORMS else _GUIDE_ONLY


def _advised(sites: int, epsilon: float) -> SuitableSettings:
    """Returns the plan for the template's columns and as many hospitals, three at the least."""
    asked = PlanningInput(
        patients=(_PATIENTS,) * max(3, sites), epsilon=epsilon, delta=1e-5,
        gradient_norm=math.sqrt(_INPUTS + 1), prevalence=_PREVALENCE,
    )  # fmt: skip
    return advise(asked, "per_site")


def write_study(path: Path, text: str) -> None:
    """Writes a new study document; never over another.

    Raises:
        WorkspaceRefused: a file is there already, or it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise WorkspaceRefused(f"--to {path} is there already: name a new file") from error
    except OSError as error:
        raise WorkspaceRefused(f"--to {path} cannot be written: {error.strerror}") from error
