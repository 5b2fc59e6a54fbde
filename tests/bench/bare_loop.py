"""The floor of the federated round: the same steps in plain PyTorch."""

import numpy as np
import torch
from torch import nn

from pipelines.networks.networks import build
from pipelines.records import Records
from protocol.study.study import Study
from tests.bench import studies
from tests.bench.measurement import WALL


class BareLoop:
    """The same networks, patients and steps in plain PyTorch: no privacy, nothing kept."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._hospitals = [
            studies.drawn_records(study, round(studies.PATIENTS * 0.8)) for _ in study.site_names
        ]
        self._global = build(study.task, study.cohort, 1)
        self._local = build(study.task, study.cohort, 1).train()

    def run(self) -> tuple[float, list[float]]:
        """Returns the milliseconds of all rounds and of each but the first."""
        marks = [WALL()]
        for _ in range(self._study.training.rounds):
            updates = [self._trained(records) for records in self._hospitals]
            with torch.no_grad():
                for parameter, *found in zip(self._global.parameters(), *updates, strict=True):
                    parameter.copy_(torch.stack(found).mean(0))
            marks.append(WALL())
        return (marks[-1] - marks[0]) * 1000, [float(g) * 1000 for g in np.diff(marks)[1:]]

    def _trained(self, records: Records) -> list[torch.Tensor]:
        self._local.load_state_dict(self._global.state_dict())
        optimizer = torch.optim.SGD(self._local.parameters(), lr=self._study.training.learning_rate)
        features, labels = torch.from_numpy(records.features), torch.from_numpy(records.labels)
        for _ in range(self._study.training.local_steps):
            chosen = torch.rand(len(labels)) < self._study.privacy.sampling_rate
            optimizer.zero_grad()
            logits = self._local(features[chosen]).reshape(-1)
            nn.functional.binary_cross_entropy_with_logits(logits, labels[chosen]).backward()
            optimizer.step()
        return [parameter.detach().clone() for parameter in self._local.parameters()]
