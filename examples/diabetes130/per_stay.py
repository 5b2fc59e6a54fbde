"""How well a trained model ranks single stays, which is what publications report.

    python examples/diabetes130/per_stay.py FOLDER OUT/snapshots/MODEL.safetensors

FOLDER holds diabetic_data.csv. A run reports the AUROC per patient: the mean
score of a patient's stays against whether any was followed by a readmission.
This prints the AUROC over all stays of the same test patients, and over
everybody's first one in the file. It reads records that no coordinator ever sees.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from collegium.simulation.settings import simulated_split_key
from pipelines.cohort.loading import load_cohort
from pipelines.cohort.partitioning import partition_records
from pipelines.cohort.splits import split
from pipelines.evaluation.metrics import auroc
from pipelines.gradients.clipping import scores
from pipelines.networks.networks import build, load_parameters
from pipelines.records import Records
from protocol.study.study_file import read_study


def first_in_file(records: Records) -> NDArray[np.bool_]:
    """Returns which records stand first of their patient's in the file; records have an order."""
    order = np.argsort(records.rows)
    chosen = np.zeros(len(records), dtype=bool)
    chosen[order[np.unique(records.patients[order], return_index=True)[1]]] = True
    return chosen


def main(folder: Path, snapshot: Path) -> None:
    """Prints the two figures."""
    study = read_study(Path(__file__).with_name("study.yaml").read_text(encoding="utf-8"))
    module = build(study.task, study.cohort, study.seeds.model)
    load_parameters(module, load_file(snapshot))
    everybody = load_cohort(study.cohort, folder / "diabetic_data.csv", site="all")
    logits, labels, first = [], [], []
    for site, hand in partition_records(everybody, study.partition, study.sites).items():
        _, test = split(hand, study.split, key=simulated_split_key(study, site), site=site)
        logits.append(scores(module, test.features))
        labels.append(test.labels)
        first.append(first_in_file(test))
    ranked, ill, once = (np.concatenate(parts) for parts in (logits, labels, first))
    print(f"{len(ill)} stays: AUROC {auroc(ranked, ill):.3f}")
    print(f"{once.sum()} first stays: AUROC {auroc(ranked[once], ill[once]):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
