"""A whole consortium in memory: real silos, real coordinator, a link that can misbehave.

Only the medicine is simplified: ``LinearTrainer`` needs no torch, so a
federation of four hospitals runs in a fraction of a second.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compliance.audit.log import NewEntry
from compliance.privacy.noise import DiscreteGaussian, poisson_sample
from compliance.storage.clock import timestamp
from coordinator.audit.recompute import Recomputed, recompute
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import RunRecord, SimulatedInputs, manifest_of
from coordinator.rounds.training import Outcome, Runner, RunStores
from pipelines.evaluation.metrics import histogram, two_by_two
from pipelines.networks.reference_inputs import reference_inputs
from pipelines.records import Records
from protocol.encoding import digest, digest_json
from protocol.identity.roster import CoordinatorIdentity
from protocol.log.cosignature import Cosigner, Ed25519Cosigner
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.study import Study
from protocol.transport.privacy_summary import SignedSummary, Summary, open_summary, write_summaries
from protocol.transport.steps import Reply, Request
from protocol.vectors.evaluation import in_units
from protocol.vectors.score_grid import ScoreGrid
from protocol.vectors.tensors import Tensors, decode_tensors
from silos.database.database import open_hospital
from silos.rounds.invitation import Invitation
from silos.rounds.participation import LocalTrainer
from silos.rounds.silo import Silo
from silos.training.randomness import DrawContext, Entropy, RoundInput
from tests.support.hospital.rosters import roster_with

UNITS = 2**17


class LinearTrainer:
    """Logistic regression by hand: one full-batch step a round, clipped and noised."""

    engine = "by hand"

    def __init__(self, study: Study, site: str, train: Records, test: Records) -> None:
        self._study, self._site, self._train, self._test = study, site, train, test
        self._whole = train, test
        self.dataset_digest = digest_json([train.digest, test.digest])

    def initial_model(self) -> Tensors:
        width = self._train.features.shape[1]
        return {
            "weight": np.zeros(width, dtype=np.float32),
            "bias": np.full(1, self._study.seeds.model / 100, dtype=np.float32),
        }

    def second_opinion(self, event: object, delta: float) -> dict[str, str | float | None]:
        return {}  # Opacus has no say in gradients by hand

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        total = np.trunc(self._gradients(given.model) * UNITS).astype(np.int64).sum(axis=0)
        if given.noise_multiplier is not None:
            noise = DiscreteGaussian(given.noise_multiplier * UNITS)
            total += noise.sample(entropy.stream(self._draw_context("noise", given)), len(total))
        return LocalEnd(update=total / UNITS / self._study.site(self._site).patients)

    def noised_sum(self, given: RoundInput, entropy: Entropy) -> NDArray[np.int64]:
        assert given.noise_multiplier is not None
        rate, sampling = self._study.privacy.sampling_rate, self._draw_context("sample", given)
        drawn = poisson_sample(entropy.stream(sampling), rate, self._train.num_patients)
        total = np.trunc(-self._gradients(given.model)[drawn] * UNITS).astype(np.int64).sum(axis=0)
        noise = DiscreteGaussian(given.noise_multiplier * UNITS)
        stream = entropy.stream(self._draw_context("noise", given))
        return np.asarray(total + noise.sample(stream, len(total)))

    def leave_out(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
        whole_train, whole_test = self._whole
        self._train = whole_train.take(~np.isin(whole_train.patients, train))
        self._test = whole_test.take(~np.isin(whole_test.patients, test))

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[NDArray[np.int64], ...]:
        logits = self._logits(own or model, self._test)
        reference = reference_inputs(self._study.cohort, self._study.seeds.model)
        grid = ScoreGrid.around(reference @ model["weight"].astype(np.float64) + model["bias"][0])
        counted = histogram(logits, self._test.labels, grid.edges(self._study.score_bins))
        table = two_by_two(logits, self._test.labels)
        return in_units(counted), in_units(table), np.array(grid.cells)

    def _draw_context(self, use: str, given: RoundInput) -> DrawContext:
        return DrawContext(
            use=use, study=self._study.digest, site=self._site, round_kind="training",
            round=given.number, attempt=given.attempt, step=0, dataset=self.dataset_digest,
            model="", sample="",
        )  # fmt: skip

    def _gradients(self, model: Tensors) -> NDArray[np.float64]:
        """Returns every patient's (size,) direction, no longer than 1."""
        errors = self._train.labels - 1 / (1 + np.exp(-self._logits(model, self._train)))
        gradients = np.column_stack([errors, errors[:, None] * self._train.features])
        norms = np.maximum(1.0, np.linalg.norm(gradients, axis=1, keepdims=True) * 1.001)
        return np.asarray(gradients / norms)

    def _logits(self, model: Tensors, records: Records) -> NDArray[np.float64]:
        return records.features @ model["weight"].astype(np.float64) + model["bias"][0]


def write_hospitals(folder: Path, study: Study, patients: int = 40) -> None:
    """Writes one CSV for each site of the small study: ill patients are older."""
    for place, site in enumerate(study.site_names):
        generator = np.random.default_rng(place)
        lines = ["age,ward,patient,ill"]
        for patient in range(patients):
            ill = int(generator.random() < 0.5)
            age = np.clip(generator.normal(65 if ill else 40, 12), 1, 110)
            lines.append(f"{age:.1f},{'ABC'[patient % 3]},{site}-{patient},{ill}")
        (folder / f"{site}.csv").write_text("\n".join(lines) + "\n")


Fault = Callable[[str, Request], bool]


@dataclass
class MemoryLink:
    """Carries bytes to silos in one process; records what left; order and losses are the test's."""

    silos: Mapping[str, Silo]
    order: Callable[[list[str]], list[str]] = sorted
    lost: Fault = lambda _site, _request: False
    seen: list[tuple[str, str, Reply]] = field(default_factory=list)

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        for site in self.order(list(requests)):
            request = requests[site]
            if self.lost(site, request):
                continue
            reply = self.silos[site].answer(request)
            self.seen.append((site, request.step, reply))
            yield site, reply


class Watch:
    """Remembers which rounds were finished."""

    def __init__(self) -> None:
        self.rounds: list[tuple[str, int, tuple[str, ...]]] = []
        self.taken_back: list[tuple[int, int]] = []

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        self.rounds.append((round_kind, number, survivors))

    def rolled_back(self, after: int, to: int) -> None:
        self.taken_back.append((after, to))


class Federation:
    """Four hospitals that joined one run of a study, and their coordinator."""

    def __init__(
        self,
        folder: Path,
        study: Study,
        *,
        fixed_noise: int | None = None,
        budget: float = 20.0,
        run_id: str = "run-1",
        trainer: Callable[..., LocalTrainer] = LinearTrainer,
        write: Callable[[Path, Study], None] = write_hospitals,
        addresses: Callable[[str], str | None] = lambda _name: None,
    ) -> None:
        """Makes the hospitals and lets them be asked.

        ``trainer`` trains, ``write`` writes the records; ``addresses`` may give an institution a
        PostgreSQL database in place of a file.
        """
        self._trainer = trainer
        self.study, self.run_id, self._addresses = study, run_id, addresses
        self.is_held = False
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        write(self.data, study)
        self.workspace = Workspace.create(folder / "out", database=addresses("consortium"))
        self.store = Store(self.workspace.database)
        self.silos = {site: self._silo(site, budget) for site in study.site_names}
        self.roster = roster_with(
            [silo.member for silo in self.silos.values()],
            coordinator=CoordinatorIdentity(
                public_key=self.workspace.public_key().hex(), root=None
            ),
        )
        self.invitation = Invitation(
            run_id=run_id,
            study=study,
            roster=self.roster,
            coordinator_public=self.workspace.public_key(),
            data=self.data,
            index_file=None,
            fixed_noise_seed=fixed_noise,
        )
        self.link = MemoryLink(self.silos)
        self.watch = Watch()
        self.signed_summaries: dict[str, SignedSummary] = {}

    def _silo(self, site: str, budget: float) -> Silo:
        home = self.workspace.silos / site
        home.mkdir()
        split_key = site.encode().ljust(32)
        place = self._addresses(site) or home / "hospital.db"
        hospital = open_hospital(
            place, site=site, split_key=split_key, simulated=True, blobs=home / "hospital-blobs"
        )
        silo = Silo(
            site, home, self._trainer, simulated=True, split_key=split_key, hospital=hospital
        )
        silo.grant(budget, 1e-3)
        return silo

    @property
    def cosigners(self) -> list[Cosigner]:
        """The hospitals as cosigners of the log."""
        return [Ed25519Cosigner.of_site(name, silo._keys.own) for name, silo in self.silos.items()]

    def close(self) -> None:
        """Closes every database."""
        self.store.close()
        for silo in self.silos.values():
            silo._database.close()

    def invitation_of(self, run_id: str) -> Invitation:
        """Returns the invitation to another run of the same study."""
        return replace(self.invitation, run_id=run_id)

    def join(self) -> dict[str, Summary]:
        self.signed_summaries = {
            site: silo.join(self.invitation) for site, silo in self.silos.items()
        }
        return {
            site: open_summary(word, self.roster.key_of(site))
            for site, word in self.signed_summaries.items()
        }

    def run(self) -> Outcome:
        """Joins, trains and evaluates."""
        summaries = self.join()
        with self.store.transaction() as transaction:
            registered = transaction.register(self.study)
            record = transaction.write(
                RunRow(
                    id=self.run_id, study_digest=self.study.digest, state="running",
                    simulation=True, test_noise=self.invitation.fixed_noise_seed is not None,
                    seed=self.study.seeds.model,
                    started_at=timestamp(), roster_json=self.roster.canonical_bytes.decode(),
                    sites_json=write_summaries(self.signed_summaries), environment_json="{}",
                )
            )  # fmt: skip
            begun = (
                ("roster", self.roster.digest, None),
                ("run-started", self.study.digest, record),
                ("approvals", digest(write_summaries(self.signed_summaries).encode()), None),
            )
            entries = [
                NewEntry(type=kind, run_id=self.run_id, payload=payload, record=row)
                for kind, payload, row in begun
            ]
            transaction.log([*registered, *entries], self.workspace.signing_key())
        first = next(iter(self.silos.values()))
        initial = decode_tensors(first.initial_model(self.run_id))
        key = self.workspace.signing_key()
        own = RunRecord(self.store, key, self.roster, self.study, self.run_id)
        own.describe(manifest_of(self.study, summaries, initial, self.inputs))
        return self.runner(summaries).run(initial)

    @property
    def inputs(self) -> SimulatedInputs:
        """The inputs of a run that only a simulation knows."""
        named = [f"{site}.csv" for site in self.silos]
        return SimulatedInputs(
            draw_seed=self.invitation.fixed_noise_seed,
            workers=1,
            gpu=False,
            files={
                name: digest((self.data / name).read_bytes())
                for name in named
                if (self.data / name).is_file()
            },
            records={
                site: silo.simulated_part(self.run_id).dataset_digest
                for site, silo in self.silos.items()
            },
        )

    def runner(self, summaries: Mapping[str, Summary] | None = None) -> Runner:
        return Runner(
            run_id=self.run_id,
            study=self.study,
            roster=self.roster,
            key=self.workspace.signing_key(),
            summaries=summaries or {},
            stores=RunStores(
                store=self.store,
                snapshots=self.workspace,
                rounds=RoundArchive(self.workspace.rounds, lambda: self.is_held),
            ),
            link=self.link,
            watcher=self.watch,
        )

    def recomputed(self, number: int, round_kind: str = "training") -> Recomputed:
        """Returns what an auditor finds of a finished round whose vectors are kept."""
        with self.store.read() as session:
            return recompute(
                session,
                RoundArchive(self.workspace.rounds),
                self.workspace.public_key(),
                run_id=self.run_id,
                round_kind=round_kind,
                number=number,
            )
