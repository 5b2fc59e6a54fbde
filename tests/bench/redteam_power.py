"""How often the one-run audit contradicts honest and weak noise: STUDY SITE DRAWS."""

import sys
from pathlib import Path

import numpy as np

from collegium.redteam import Target
from collegium.redteam_bench import Chances
from collegium.redteam_noise import one_run_audits
from collegium.redteam_views import views_of
from protocol.study_file import read_study
from silos.trainer import Trainer
from tests.faults import WeakNoise


def main(path: str, site: str, draws: str) -> None:
    """Prints, for each view, the lower bounds of many first audits and how many contradict."""
    study = read_study(Path(path).read_text())
    claim = Target.planned(study).claims[site]
    views = views_of(study, claim)
    for make in (Trainer, WeakNoise):
        runs = [one_run_audits(study, claim, views, make, Chances()) for _ in range(int(draws))]
        for audits in zip(*runs, strict=True):
            low, middle, high = np.quantile([audit.runs[0].bound for audit in audits], [0, 0.5, 1])
            print(
                f"{make.__name__}, {audits[0].view.title}: bound {low:.2f} to {high:.2f}, median "
                f"{middle:.2f}, against {audits[0].claim:.3f}; "
                f"{sum(audit.contradicted for audit in audits)} of {draws} contradict"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
