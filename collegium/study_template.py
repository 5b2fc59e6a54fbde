"""The study document that ``collegium study new`` writes: valid as it stands, to be filled in."""

import os
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study_file import read_study

_EXAMPLE_SITES = ("hospital-a", "hospital-b", "hospital-c")
_TEMPLATE = """\
# A study: what the hospitals agree to. Mend every line that is not yours, then
#   collegium study check THIS-FILE
# docs/study.md explains every key; editors read docs/study.schema.json.
collegium: 1
name: {name}                # lower case; its digest, not its name, is what gets approved
title: {title}
# Hospitals read this, and their policies look for phrases in it.
purpose: >
  {purpose}

# The contract that every hospital's records must fit. Ranges, centre and scale
# are declared from general knowledge, never computed from anybody's records.
cohort:
  kind: table               # or images, see docs/study.md
  patient_key: patient_id   # the column that tells patients apart; row: one row is one patient
  label: {{column: outcome, positive: [1], negative: [0]}}
  min_patients: 20          # a smaller hospital is refused
  columns:
    - {{name: age, kind: number, range: [0, 120], centre: 60, scale: 15}}
    - {{name: ward, kind: category, values: [A, B, C]}}
    - {{name: patient_id, kind: other}}
    - {{name: outcome, kind: other}}

# patients: each hospital's training patients, a public round number that it does not exceed.
sites:
{sites}

# Each hospital splits its own patients with a key that only it has.
split: {{method: keyed_hash, test_fraction: 0.3}}

task:
  network: {{name: FullyConnectedNet, hidden: []}}   # no hidden layer: logistic regression

training: {{rounds: 10, local_steps: 1, learning_rate: 1.0, micro_batch: 64}}

# What each hospital promises each of its patients: collegium study plan helps to choose.
privacy:
  mode: local
  epsilon: {epsilon:g}
  delta: 1.0e-5              # below 1 in the number of patients
  clip: 1.0
  sampling_rate: 0.2

# threshold: how many must answer; left out: two thirds of the sites and one more.
aggregation: {{colluders: 1}}
evaluation: {{bins: 16}}
seeds: {{model: 1, split: 1}}
"""


def study_template(
    name: str = "my-study",
    *,
    title: str = "What the study is about",
    purpose: str = "Say here, for the hospitals' officers, what is learned and what for.",
    sites: Sequence[str] = _EXAMPLE_SITES,
    epsilon: float = 1.0,
) -> str:
    """Returns the text of a new study.

    Raises:
        StudyRefused: a name, the number of sites or epsilon is wrong.
    """
    for words in (title, purpose):
        if "\n" in words or ": " in words or "#" in words:
            raise StudyRefused("title and purpose are plain words, without line ends, '#' and ': '")
    text = _TEMPLATE.format(
        name=name,
        title=title,
        purpose=purpose,
        sites="\n".join(f"  - {{name: {site}, patients: 300}}" for site in sites),
        epsilon=epsilon,
    )
    read_study(text, "collegium study new")
    return text


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
