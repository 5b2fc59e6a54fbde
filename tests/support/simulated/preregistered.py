"""The small study with a preregistration, and ways to change it."""

from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.studies import TABLE_STUDY

PREREGISTRATION = """\
preregistration:
  hypotheses:
    - {name: discriminates, text: It tells who is ill better than chance., primary: true}
    - {name: alike, text: It does as well in every hospital.}
  success:
    - {name: auroc, figure: auroc, at_least: 0.6}
    - {name: gap, hypothesis: alike, figure: accuracy, of: hospital_gap, at_most: 0.5}
    - {name: accuracy, hypothesis: alike, figure: accuracy, of: every_hospital, at_least: 0.05,
       by: estimate, baseline: {name: a published score, value: 0.6}}
  contingencies:
    - {when: figure_withheld, then: The hypothesis stays undecided.}
    - {when: hospital_leaves, then: We report the others.}
    - {condition: the label is coded otherwise, then: We stop.}
  stopping: None; both rounds are made.
  exploratory:
    - Calibration by hospital.
"""


def preregistered(old: str = "", new: str = "") -> Study:
    """Returns the small study with the preregistration, one passage of it replaced."""
    if old not in PREREGISTRATION:
        raise ValueError(f"the preregistration has no {old!r}")
    return read_study(TABLE_STUDY + PREREGISTRATION.replace(old, new, 1))
