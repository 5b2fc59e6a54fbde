"""How often the one-run audit contradicts honest and weak noise: STUDY SITE DRAWS."""

import sys
from pathlib import Path

import numpy as np

from collegium.redteam.adversary import views_of
from collegium.redteam.findings import Target
from collegium.redteam.harness import AttackRandomness
from collegium.redteam.noise.canaries import one_run_audits
from protocol.study.study_file import read_study
from silos.training.trainer import Trainer
from tests.support.simulated.faults import WeakNoise


def main(path: str, site: str, draws: str) -> None:
    """Prints, for each view, the lower bounds of many first audits and how many contradict."""
    study = read_study(Path(path).read_text())
    claim = Target.planned(study).claims[site]
    views = views_of(study, claim)
    for make in (Trainer, WeakNoise):
        runs = [
            one_run_audits(study, claim, views, make, AttackRandomness()) for _ in range(int(draws))
        ]
        for audits in zip(*runs, strict=True):
            first = audits[0]
            told = f"{make.__name__}, {first.view.title}, claim {first.claim:.3f}"
            if not first.offered:
                print(f"{told}: no audit, {first.ceiling:.2f} is the most it could show")
                continue
            bounds = [audit.bound_of(audit.runs[0]) for audit in audits]
            low, middle, high = np.quantile(bounds, [0, 0.5, 1])
            print(
                f"{told}: {first.guesses} of {first.canaries} guessed, bound {low:.2f} to "
                f"{high:.2f}, median {middle:.2f}, most {first.ceiling:.2f}; "
                f"{sum(audit.contradicted for audit in audits)} of {draws} contradict"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
