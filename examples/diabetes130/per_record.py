"""What record-level accounting would have claimed for this study, and what it would have hidden.

    python examples/diabetes130/per_record.py FOLDER

FOLDER holds diabetic_data.csv. The figures are those of the first hospital of
the study, the largest. Compared with our training, in which patients are sampled
and each is clipped once, is one in which records are sampled and each is
clipped: at most 8 records of a patient as with us, as many records in a step, and
as much noise in the mean gradient.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dp_accounting import NeighboringRelation
from dp_accounting.dp_event import MixtureOfGaussiansDpEvent
from dp_accounting.pld import PLDAccountant
from scipy.stats import binom

from collegium.simulation.settings import simulated_split_key
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon
from pipelines.cohort.loading import Records, load_cohort
from pipelines.cohort.partitioning import partition_records
from pipelines.cohort.splits import split
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Epsilons of one hospital at the study's delta."""

    ours: float
    claimed_by_record: float
    really_for: dict[int, float]


def training_records(study: Study, folder: Path) -> dict[str, Records]:
    """Returns every simulated hospital's training records."""
    if study.partition is None:
        raise ValueError("this study partitions no records")
    everybody = load_cohort(study.cohort, folder / study.partition.records, site="all")
    return {
        site: split(hand, study.split, key=simulated_split_key(study, site), site=site)[0]
        for site, hand in partition_records(everybody, study.partition, study.sites).items()
    }


def figures(study: Study, train: Records) -> Figures:
    """Returns what patients are promised, what records would be, and what patients would have."""
    privacy, most = study.privacy, study.cohort.max_records_per_patient
    if not isinstance(privacy, PatientPrivacy):
        raise ValueError("a study without privacy has no epsilon")
    plan = PrivacyPlan.of(study, privacy)
    event, delta = plan.training, privacy.delta

    # The mean is taken over rate x records now, no longer over rate x patients.
    records = int(np.minimum(np.bincount(train.patients), most).sum())
    noise = event.noise_multiplier * records / train.num_patients

    def really(count: int) -> float:
        """A patient's records are drawn one by one: a mixture of Gaussians."""
        drawn = range(count + 1)
        chances = binom.pmf(drawn, count, event.sampling_rate)
        step = MixtureOfGaussiansDpEvent(noise, list(drawn), list(chances))
        relation = NeighboringRelation.REPLACE_SPECIAL
        accountant = PLDAccountant(relation, value_discretization_interval=1e-3)
        return float(accountant.compose(step, event.steps).get_epsilon(delta))

    return Figures(
        ours=plan.epsilon,
        claimed_by_record=epsilon(replace(event, noise_multiplier=noise), delta),
        really_for={count: really(count) for count in (1, 2, most)},
    )


def main(folder: Path) -> None:
    """Prints the figures."""
    study = read_study(Path(__file__).with_name("study.yaml").read_text(encoding="utf-8"))
    site = study.sites[0].name
    train = training_records(study, folder)[site]
    found = figures(study, train)
    print(f"{site}: {train.num_patients} patients, {len(train)} records")
    print(f"ours, whatever records a patient has: epsilon {found.ours:.2f}")
    print(f"claimed by record-level accounting:   epsilon {found.claimed_by_record:.2f}")
    for count, value in found.really_for.items():
        print(f"  what a patient with {count} of them would really have: {value:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
