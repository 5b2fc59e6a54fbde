"""Whoever opts out between two rounds is in no later step, and nobody outside sees it."""

import logging
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.records import Records
from pipelines.sources.description import SourceDescription
from protocol.errors import CohortRefused, PolicyRefused, StoreBroken, UpdateRefused
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.study_file import read_study
from protocol.transport.steps import Reply, Request
from protocol.vectors.keystream import Keystream
from protocol.vectors.tensors import Tensors
from silos.config.site_file import site_file_of
from silos.database.database import open_hospital
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.opt_outs import opt_out_of
from silos.patients.own_records import read_own_records
from silos.patients.wishes import PatientWishes
from silos.patients.withdrawals import PatientsInRun
from silos.training.randomness import DrawContext, Entropy, RoundInput, SecretEntropy
from silos.training.trainer import Trainer
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.sites import changed_site
from tests.support.networked.joining import frozen_anew, joined
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

LEAVING = 5
RARE = read_study(changed("sampling_rate: 1.0", "sampling_rate: 0.5"))


def records_of(count: int) -> Records:
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(count), 2)
    return Records(
        features=generator.normal(size=(2 * count, 3)).astype(np.float32),
        labels=(patients % 2).astype(np.float32),
        patients=patients,
        patient_keys=tuple(f"p{number}" for number in range(count)),
        rows=np.arange(2 * count),
    )


class Counted:
    """Secret randomness of which is noted how much was asked for."""

    is_secret = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def stream(self, draw: DrawContext) -> Keystream:
        inner, asked = SecretEntropy().stream(draw), self.asked

        class Noted(type(inner)):  # type: ignore[misc]
            def words(self, count: int, *given: object) -> object:
                asked.append((draw.use, count))
                return super().words(count, *given)

        inner.__class__ = Noted
        return inner


def steps_of(
    trainer: Trainer, entropy: Entropy, count: int
) -> tuple[set[int], set[int], set[object]]:
    """Who was drawn in some steps, whose records were read, and the steps' forms."""
    draw = trainer._draw_context(
        RoundInput(model=trainer.initial_model(), number=0, attempt=0, noise_multiplier=1.0)
    )
    drawn, read, forms = set(), set(), set()
    for _ in range(count):
        chosen, step = trainer._sampled(draw, entropy)
        drawn |= set(chosen.tolist())
        read |= set(trainer._train.patients[step.records.ravel()].tolist())
        forms.add((step.records.shape, step.weights.shape))
    return drawn, read, forms


def test_the_sampler_draws_and_reads_nobody_who_left() -> None:
    trainer = Trainer(RARE, "east", records_of(20), records_of(4))
    before, after = Counted(), Counted()
    drawn, read, forms = steps_of(trainer, before, 40)
    assert LEAVING in drawn and LEAVING in read
    trainer.leave_out(np.array([LEAVING]), np.array([1]))
    later_drawn, later_read, later_forms = steps_of(trainer, after, 40)
    assert LEAVING not in later_drawn and LEAVING not in later_read
    assert len(later_drawn) == len(later_read) == 19
    assert later_forms == forms and after.asked == before.asked


def test_the_evaluation_counts_nobody_who_left() -> None:
    trainer = Trainer(RARE, "east", records_of(20), records_of(4))
    model = trainer.initial_model()
    scores, labels = trainer.patient_scores(model)
    trainer.leave_out(np.array([], dtype=np.int64), np.array([1]))
    later, of_those = trainer.patient_scores(model)
    assert later.tolist() == np.delete(scores, 1).tolist()
    assert of_those.tolist() == np.delete(labels, 1).tolist()


def test_a_step_goes_on_when_everybody_left() -> None:
    trainer = Trainer(RARE, "east", records_of(4), records_of(4))
    trainer.leave_out(np.arange(4), np.arange(4))
    given = RoundInput(model=trainer.initial_model(), number=0, attempt=0, noise_multiplier=1.0)
    assert np.isfinite(trainer.update(given, SecretEntropy()).update).all()
    counts, table, _ = trainer.counts(trainer.initial_model())
    assert not counts.any() and not table.any()


class Watched(LinearTrainer):
    """Remembers whose records each round was computed from."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.used: list[tuple[str, ...]] = []

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        self.used.append(self._train.patient_keys)
        return super().update(given, entropy)

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[NDArray[np.int64], ...]:
        self.used.append(self._test.patient_keys)
        return super().counts(model, own)


def test_an_opt_out_between_two_rounds_counts_in_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "collegium.silo")
    federation = Federation(
        tmp_path, read_study(changed("rounds: 2", "rounds: 3")), trainer=Watched
    )
    east, left = federation.silos["east"], list[str]()

    def leave(site: str, request: Request) -> bool:
        """Once the first round was masked, a training and a test patient opt out."""
        if site == "east" and request.step == "consistency" and not left:
            own = east.simulated_part("run-1")
            left.extend([own._train.patient_keys[0], own._test.patient_keys[0]])
            opt_out_of(east._database, left, by=OFFICER)
        return False

    federation.link.lost = leave
    trainers: list[Watched] = []
    make = east._make_trainer
    east._make_trainer = lambda *given: trainers.append(make(*given)) or trainers[-1]  # type: ignore[func-returns-value]
    federation.run()
    first, second, third, tested = trainers[0].used
    assert left[0] in first and left[0] not in second and second == third
    assert len(first) == len(second) + 1
    assert left[1] not in tested
    assert caplog.text.count("an addition was made to the frozen cohort") == 1
    assert not any(key in caplog.text for key in left)
    seen = b"".join(reply.message + (reply.blob or b"") for _, _, reply in federation.link.seen)
    assert not any(key.encode() in seen for key in left)
    cohorts = FrozenCohorts(east._database)
    (cohort,) = cohorts.all()
    assert len(cohorts.left(cohort)) == 2 and cohort.patients == 40


class DeafAtFirst(Watched):
    """Fails when it is told for the first time who left."""

    def leave_out(self, train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
        if not getattr(self, "was_told", False):
            self.was_told = True
            raise UpdateRefused("out of memory")
        super().leave_out(train, test)


def test_who_left_is_told_again_where_the_trainer_failed(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path, read_study(changed("rounds: 2", "rounds: 4")), trainer=DeafAtFirst
    )
    east, left = federation.silos["east"], list[str]()

    def leave(site: str, request: Request) -> bool:
        if site == "east" and request.step == "consistency" and not left:
            left.append(east.simulated_part("run-1")._train.patient_keys[0])
            opt_out_of(east._database, left, by=OFFICER)
        return False

    federation.link.lost = leave
    trainers: list[Watched] = []
    make = east._make_trainer
    east._make_trainer = lambda *given: trainers.append(make(*given)) or trainers[-1]  # type: ignore[func-returns-value]
    federation.run()
    first, *later = trainers[0].used
    assert left[0] in first and later
    assert not any(left[0] in used for used in later)


def test_who_left_is_told_again_where_it_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, study = make_east(tmp_path), small_study()
    site = site_file_of(home)
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        wishes = PatientWishes(hospital, site.patients, home)
        own = read_own_records(home, site, study, None, hospital, None, wishes)
        source = SourceDescription(kind="file", name="", sha256="")
        run = PatientsInRun(
            hospital, study, "run-1", own, wishes, source=lambda: source, freezes=False
        )
        opt_out_of(hospital, [own.train.patient_keys[0]], by=OFFICER)

        def full(*given: object) -> bool:
            raise StoreBroken("the disk is full")

        with monkeypatch.context() as broken, pytest.raises(StoreBroken):
            broken.setattr(FrozenCohorts, "record_left", full)
            run.left()
        told = run.left()
        assert told is not None and told.train.tolist() == [0]


def test_what_is_asked_of_the_others_does_not_tell_that_somebody_left(tmp_path: Path) -> None:
    """The same requests, steps and sizes, with and without an opt-out between the rounds."""
    shapes = []
    for leaves in (False, True):
        folder = tmp_path / str(leaves)
        folder.mkdir()
        federation = Federation(folder, small_study())
        done = list[str]()

        def leave(
            site: str, request: Request, federation: Federation = federation,
            done: list[str] = done, leaves: bool = leaves,
        ) -> bool:  # fmt: skip
            east = federation.silos["east"]
            if leaves and request.step == "consistency" and not done:
                done.extend(east.simulated_part("run-1")._train.patient_keys[:3])
                opt_out_of(east._database, done, by=OFFICER)
            return False

        federation.link.lost = leave
        federation.run()

        def shape(reply: Reply) -> tuple[int, int, str | None]:
            return len(reply.message) // 64, len(reply.blob or b""), reply.refusal

        shapes.append([(site, step, shape(reply)) for site, step, reply in federation.link.seen])
    assert shapes[0] == shapes[1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def opt_out(home: Path, *keys: str) -> None:
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        opt_out_of(hospital, keys, by=OFFICER)


def test_a_patient_may_leave_a_frozen_cohort_and_the_export(home: Path) -> None:
    frozen_anew(home, TABLE_STUDY)
    opt_out(home, "east-3", "east-4")
    joined(home, TABLE_STUDY)
    rows = [row for row in (home / "east.csv").read_text().splitlines() if ",east-3," not in row]
    (home / "east.csv").write_text("\n".join(rows) + "\n")
    joined(home, TABLE_STUDY, "run-2")
    (home / "east.csv").write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(CohortRefused, match=r"patients differ \(fewer than 10 missing\)"):
        joined(home, TABLE_STUDY, "run-3")


def test_the_number_of_a_patient_is_looked_for_in_its_own_column(home: Path) -> None:
    """The study's key is a pseudonym; patients opt out by the hospital's number."""
    rows = (home / "east.csv").read_text().splitlines()
    numbered = [f"{row},{'mrn' if not place else f'00{place}'}" for place, row in enumerate(rows)]
    (home / "east.csv").write_text("\n".join(numbered) + "\n")
    (home / "site.yaml").write_text(changed_site("east.csv}", "east.csv, patient_number: mrn}"))
    opt_out(home, "7.0", "11")
    frozen = frozen_anew(home, TABLE_STUDY)
    assert (frozen.patients, frozen.left_out) == (38, 2)


def test_rows_that_are_nobodys_are_refused_where_somebody_opted_out(home: Path) -> None:
    text = changed("patient_key: patient", "patient_key: row")
    rows = "east.csv, one_row_is_one_person: true}"
    site = changed_site("columns: [age,", "columns: [row, age,").replace("east.csv}", rows)
    (home / "site.yaml").write_text(site)
    joined(home, text)
    opt_out(home, "east-3")
    with pytest.raises(PolicyRefused, match=r"data\.patient_number"):
        joined(home, text, "run-2")
    number = rows.replace("true}", "true, patient_number: patient}")
    (home / "site.yaml").write_text(site.replace(rows, number))
    assert frozen_anew(home, text).left_out == 1


def test_a_run_on_rows_stops_when_somebody_opts_out(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path, read_study(changed("patient_key: patient", "patient_key: row"))
    )
    done = list[str]()

    def leave(site: str, request: Request) -> bool:
        if request.step == "consistency" and not done:
            done.append(site)
            opt_out_of(federation.silos["east"]._database, ["7"], by=OFFICER)
        return False

    federation.link.lost = leave
    federation.run()
    assert "data.patient_number" in str(federation.silos["east"].reason("run-1"))
    rounds = [survivors for _, _, survivors in federation.watch.rounds]
    assert "east" in rounds[0] and not any("east" in later for later in rounds[1:])
