"""A hospital's own figures follow from the table that it signed, and from nothing else."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from coordinator.database.store import ReleaseRow, RoundRow, RunRow
from coordinator.rounds import training as runner
from coordinator.rounds.evaluation.released import Released
from coordinator.rounds.run_course import TABLES
from coordinator.rounds.site_tables import read_tables, require_signed_tables
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, StoreBroken
from protocol.secagg.client import content_digest
from protocol.secagg.messages import Masked, Origin, open_message
from protocol.secagg.server import Step
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import Summary, open_summary
from protocol.vectors.evaluation import COUNT_UNITS, binary_counts, noise_deviations
from silos.rounds.participation import Participation
from silos.training.randomness import RoundInput
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study
from tests.support.simulated.sum_federation import FIRST, LEDGER_HEAD, reached
from tests.system.test_retries import paid_by
from tests.unit.silos.rounds.test_participation import Attack

Counts = Callable[[Participation, RoundInput], NDArray[np.int64]]


def evaluated(folder: Path, lie: Counts | None = None) -> tuple[Federation, Released]:
    """Runs a study with repeatable noise; ``lie`` takes the place of what one hospital counts."""
    folder.mkdir()
    study = read_study(changed("bins: 8", "bins: 8, epsilon: 100"))
    federation = Federation(folder, study, fixed_noise=3, budget=400.0)
    with pytest.MonkeyPatch.context() as patch:
        if lie is not None:
            patch.setattr(Participation, "_noised_counts", lie)
        return federation, federation.run().released


def words_of(federation: Federation) -> list[Summary]:
    return [
        open_summary(silo.signed_summary("run-1"), federation.roster.key_of(site))
        for site, silo in federation.silos.items()
    ]


def check(federation: Federation) -> None:
    with federation.store.read() as session:
        require_signed_tables(session, session.get_one(RunRow, "run-1"), words_of(federation))


def kept_tables(federation: Federation) -> dict[str, str]:
    with federation.store.read() as session:
        row = session.query(ReleaseRow).filter_by(kind=TABLES).one()
        return dict(json.loads(row.payload_json))


def change(federation: Federation, kind: str, payload: object) -> None:
    with federation.store.transaction() as transaction:
        row = transaction.session.query(ReleaseRow).filter_by(kind=kind).one()
        row.payload_json = json.dumps(payload)


def test_a_hospital_cannot_change_what_is_published_about_another(tmp_path: Path) -> None:
    honest = Participation._noised_counts

    def lie(self: Participation, given: RoundInput) -> NDArray[np.int64]:
        cells = honest(self, given)
        if self.site == "west":
            cells += np.resize([-10, 10, 10, -10], len(cells)) * COUNT_UNITS
        return cells

    _, before = evaluated(tmp_path / "honest")
    federation, after = evaluated(tmp_path / "lying", lie)
    assert {site for site in before.sites if before.sites[site] != after.sites[site]} == {"west"}
    check(federation)


def test_published_figures_are_those_of_the_signed_tables(tmp_path: Path) -> None:
    federation, released = evaluated(tmp_path / "run")
    check(federation)
    with federation.store.read() as session:
        row = session.query(RoundRow).filter_by(round_kind="evaluation", state="finished").one()
    tables = read_tables(kept_tables(federation), federation.roster, row.context)
    table = binary_counts(16).read_own(tables["east"])
    right = (table[0] + table[3]) / table.sum()
    assert released.sites["east"]["accuracy"].value == pytest.approx(min(1.0, max(0.0, right)))


def test_a_coordinator_that_publishes_another_table_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is whole: it has signed what it invented.

    The table turned round exchanges sensitivity and specificity; where both are
    withheld, what it publishes is no figure and no other one.
    """
    follows = runner.figures_of

    def worse(
        study: Study,
        summaries: Mapping[str, Summary],
        total: NDArray[np.unsignedinteger],
        tables: Mapping[str, tuple[int, ...]],
    ) -> Released:
        return follows(
            study, summaries, total, {site: (*t[3::-1], *t[4:]) for site, t in tables.items()}
        )

    monkeypatch.setattr(runner, "figures_of", worse)
    federation, released = evaluated(tmp_path / "run")
    turned = [
        site for site, f in sorted(released.sites.items()) if f["sensitivity"] != f["specificity"]
    ]
    assert turned
    with pytest.raises(StoreBroken, match=f"the figures about {', '.join(turned)} do not"):
        check(federation)


def test_a_coordinator_that_changes_a_kept_table_is_found_out(tmp_path: Path) -> None:
    federation, _ = evaluated(tmp_path / "run")
    kept = kept_tables(federation)
    for forged, message in (
        (kept | {"east": kept["west"]}, "not genuine: the masked message is not from east"),
        (kept | {"east": kept["east"][:-8] + "AAAAAAAA"}, "not genuine"),
        ({site: kept[site] for site in ("north", "south", "west")}, "not one for each site"),
        (kept | {"east": "?"}, "is no base64"),
        (kept | {"east": None}, "is no base64"),
        ([], "there is not one for each site"),
        (5, "signed tables are damaged"),
    ):
        change(federation, TABLES, forged)
        with pytest.raises(StoreBroken, match=message):
            check(federation)
    change(federation, TABLES, kept)
    check(federation)


def test_a_table_of_another_round_is_not_a_table_of_this_one(tmp_path: Path) -> None:
    federation, _ = evaluated(tmp_path / "run")
    with pytest.raises(MessageRefused, match="belongs to another context"):
        read_tables(kept_tables(federation), federation.roster, "0" * 64)


# --- what a hospital gives -------------------------------------------------------------------


def masked_by(attack: Attack, attempt: int, draw: int) -> Masked:
    context = attack.context(2, "evaluation", attempt=attempt, draw=draw)
    _, replies = attack.drive(context, until=Step.MASKED)
    origin = Origin(
        sender="east", public=attack.federation.roster.key_of("east"), context=context.digest
    )
    return open_message(replies["east"].message, Masked, origin)


def test_another_attempt_gives_the_same_table_and_another_draw_a_new_one_that_is_paid(
    tmp_path: Path,
) -> None:
    attack = Attack(tmp_path, read_study(changed("bins: 8", "bins: 8, attempts: 2")))
    first, again, anew = (masked_by(attack, *place) for place in ((0, 0), (1, 0), (2, 1)))
    assert first.table == again.table
    assert first.blob != again.blob
    assert len({*first.table, *anew.table}) > 4
    assert paid_by(attack.federation, "east", "evaluation") == 2


def test_what_a_draw_is_booked_as_covers_the_table() -> None:
    """Counts that happen to be the same do not make another table free, nor let it be signed."""
    federation = reached(Step.MASKED, 4, round_kind="evaluation")
    vector, contents = federation.vectors()[FIRST], []
    for table in ((1, 2, 3, 4, 0, 1), (1, 2, 3, 5, 0, 1)):
        silo = federation.silos[FIRST]
        silo.accept_shares(federation.request(Step.MASKED), federation.entries())
        if contents:
            with pytest.raises(MessageRefused, match="vector/evaluation/0/0 was done differently"):
                silo.mask(vector.copy(), table=table)
            break
        silo.mask(vector.copy(), table=table)
        contents.append(silo.content)
        federation.begin(attempt=1)
        federation.run_until(Step.MASKED, federation.vectors())
    assert contents == [content_digest(blob_digest(vector.view(np.uint8).data), (1, 2, 3, 4, 0, 1))]


def test_noise_of_counts_and_table_is_what_was_priced(tmp_path: Path) -> None:
    study = small_study()
    attack = Attack(tmp_path, study)
    joined = attack.east._runs["run-1"]
    empty = np.zeros((2, 8), np.int64), np.zeros((2, 2), np.int64), np.array([0, 10_000])
    joined.trainer.counts = lambda _model, _own=None: empty  # type: ignore[method-assign]
    assert joined.plan is not None
    z = joined.plan.evaluation.noise_multiplier
    deviations = noise_deviations(z, study.evaluation.site_share)
    assert 1 / deviations[0] ** 2 + 1 / deviations[1] ** 2 == pytest.approx(1 / z**2)
    given = RoundInput(model=attack.initial(), number=2, noise_multiplier=z)
    drawn = np.array([joined._noised_counts(given) for _ in range(300)])
    assert (drawn[:, -2:] == [0, 10_000]).all()  # the grid follows from the model: it has no noise
    patients = drawn[:, :-2] / COUNT_UNITS
    for found, deviation in zip((patients[:, :-4], patients[:, -4:]), deviations, strict=True):
        statistic = float((found**2).sum() / deviation**2)
        assert chi2.ppf(1e-4, found.size) < statistic < chi2.ppf(1 - 1e-4, found.size)
        assert math.isclose(float(found.mean()), 0.0, abs_tol=5 * deviation / found.size**0.5)


# --- the protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [(), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6)])
def test_a_table_of_another_size_is_refused_and_its_site_named(cells: tuple[int, ...]) -> None:
    is_evaluation = len(cells) != 6
    federation = reached(Step.MASKED, 4, round_kind="evaluation" if is_evaluation else "training")
    blob = bytes(federation.context.blob_bytes)
    wrong = Masked(blob=blob_digest(blob), ledger_head=LEDGER_HEAD, table=cells)
    expected = 6 if is_evaluation else 0
    with pytest.raises(MessageRefused, match=f"expected a table of {expected} numbers"):
        federation.coordinator.receive(Step.MASKED, FIRST, federation.from_site(FIRST, wrong), blob)
    assert set(federation.coordinator.culprits) == {FIRST}


def test_a_silo_gives_a_table_in_an_evaluation_only() -> None:
    federation = reached(Step.MASKED, 4)
    silo = federation.silos[FIRST]
    silo.accept_shares(federation.request(Step.MASKED), federation.entries())
    with pytest.raises(ValueError, match="expected a table of 0, got 4"):
        silo.mask(federation.vectors()[FIRST], table=(1, 2, 3, 4))
