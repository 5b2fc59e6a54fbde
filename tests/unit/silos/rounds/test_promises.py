"""No hospital can sign another privacy than its study fixes, at its start or end."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from compliance.governance.promise_check import require_promised
from coordinator.database.store import RunRow
from coordinator.rounds.run_records import RunRecord
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import (
    NamedApproval,
    SignedSummary,
    Summary,
    read_summaries,
    read_summary,
    sign_summary,
)
from silos.rounds.silo import Silo
from tests.support.machine.short_form import short_form
from tests.support.networked.network import QUICK, Network
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study

KEY = SigningKey.from_bytes(bytes(32))
PRIVACY = "privacy: {mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
EAST = "{name: east, records: east.csv, patients: 40"
STUDIES = {
    "per_site": small_study(),
    "drawn": read_study(changed("sampling_rate: 1.0", "sampling_rate: 0.5")),
    "declared": read_study(changed(PRIVACY, PRIVACY.replace("{", "{noise_multiplier: 3, "))),
    "own epsilon": read_study(changed(EAST, f"{EAST}, epsilon: 1, sampling_rate: 0.25")),
    "distributed": read_study(
        changed(PRIVACY, PRIVACY.replace("per_site", "distributed, noise_multiplier: 4"))
        .replace("local_steps: 2, ", "local_steps: 1, strategy: fedsgd, ")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", short_form(STUDIES, 3))
@pytest.mark.parametrize("test_noise", [pytest.param(False, marks=pytest.mark.long), True])
def test_an_honest_word_is_taken_whatever_the_study(
    tmp_path: Path, name: str, test_noise: bool
) -> None:
    study = STUDIES[name]
    federation = Federation(tmp_path, study, fixed_noise=3 if test_noise else None)
    for word in federation.join().values():
        require_promised(study, word, test_noise=test_noise, priced=True)
        with pytest.raises(MessageRefused, match="noise"):
            require_promised(study, word, test_noise=not test_noise, priced=False)


@pytest.fixture(scope="module")
def word(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    federation = Federation(tmp_path_factory.mktemp("word"), small_study())
    found = federation.join()["east"]
    federation.close()
    return found


def test_a_word_about_records_is_taken_in_a_study_about_records(word: Summary) -> None:
    study = read_study(changed(PRIVACY, PRIVACY.replace("{", "{unit: record, ")))
    about = replace(word, study_digest=study.digest, unit="record")
    require_promised(study, about, test_noise=False, priced=True)


LIES: Mapping[str, tuple[object, ...]] = {
    "evaluation_noise_multiplier": (1e5, 1e-5, 0.8, None),
    "noise_multiplier": (1e3, 1e-3, 1.6, None),
    "evaluation_epsilon": (0.1, 40.0, None),
    "epsilon": (0.1, 40.0, None),
    "delta": (1e-9, None),
    "sampling_rate": (0.5,),
    "steps": (0, 400),
    "priced_steps": (0, 400),
    "priced_evaluations": (7,),
    "clip": (2.0, None),
    "mode": ("distributed", "none"),
    "unit": ("record",),
    "noise": ("fixed test noise", "none"),
}


@pytest.mark.parametrize(("name", "lie"), [(n, lie) for n, lies in LIES.items() for lie in lies])
def test_another_promise_than_the_study_fixes_is_refused(
    word: Summary, name: str, lie: object
) -> None:
    with pytest.raises(MessageRefused, match=name):
        require_promised(small_study(), replace(word, **{name: lie}), test_noise=False, priced=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lie",
    [
        {"unit": "=1+1"}, {"sides": "left"}, {"mode": ""}, {"noise": "a little"},
        {"patient": "nobody"}, {"engine": "<b>"}, {"engine": "=1+1"},
        {"evaluation_noise_multiplier": 1e300}, {"noise_multiplier": 0.0}, {"epsilon": -1.0},
        {"budget_share": 1e300}, {"sampling_rate": 1.5}, {"delta": 0.0}, {"steps": -1},
    ],
)  # fmt: skip
def test_what_no_hospital_can_mean_is_refused(word: Summary, lie: dict[str, object]) -> None:
    signed = sign_summary(replace(word, **lie), KEY)  # type: ignore[arg-type]
    with pytest.raises(MessageRefused, match=next(iter(lie))):
        read_summary(signed.data)


def began(federation: Federation) -> RunRecord:
    record = RunRecord(
        federation.store,
        federation.workspace.signing_key(),
        federation.roster,
        federation.study,
        federation.run_id,
    )
    record.begin(sweep=None, simulation=True, test_noise=False)
    federation.join()
    record.keep("approvals", federation.signed_summaries)
    return record


def kept(federation: Federation) -> dict[str, SignedSummary]:
    with federation.store.read() as session:
        return read_summaries(session.get_one(RunRow, federation.run_id).sites_json)


@pytest.mark.parametrize("lie", [{"evaluation_noise_multiplier": 50.0}, {"sides": "apart"}])
def test_a_settlement_cannot_contradict_the_word_of_the_beginning(
    tmp_path: Path, lie: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    federation = Federation(tmp_path, small_study())
    record, joined = began(federation), federation.signed_summaries
    east = federation.silos["east"]
    key = east._joined(federation.run_id).key
    settled = {site: silo.leave(federation.run_id) for site, silo in federation.silos.items()}
    honest = read_summary(settled["east"].data)
    settled["east"] = sign_summary(replace(honest, **lie), key)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        record.keep("settlements", settled)
    assert kept(federation) == settled | {"east": joined["east"]}
    assert next(iter(lie)) in caplog.text
    assert honest.run_share != read_summary(joined["east"].data).run_share  # what may change did


def test_a_settlement_may_name_other_approvers_than_the_word_of_the_beginning(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, small_study())
    record, east = began(federation), federation.silos["east"]
    key = east._joined(federation.run_id).key
    settled = {site: silo.leave(federation.run_id) for site, silo in federation.silos.items()}
    named = (NamedApproval(name="Dr. A. Officer", on="2026-11-02"),)
    settled["east"] = sign_summary(
        replace(read_summary(settled["east"].data), approvals=named), key
    )
    record.keep("settlements", settled)
    assert kept(federation) == settled


def lying(honest: Callable[[Silo, str], SignedSummary]) -> Callable[[Silo, str], SignedSummary]:
    def summary(self: Silo, run: str) -> SignedSummary:
        signed = honest(self, run)
        if self.site != "east":
            return signed
        lie = replace(read_summary(signed.data), evaluation_noise_multiplier=1e5)
        return sign_summary(lie, self._joined(run).key)

    return summary


def test_a_hospital_that_signs_other_noise_is_left_out_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Silo, "_summary", lying(Silo._summary))
    network = Network(tmp_path, small_study(), pace=replace(QUICK, grace=0.5))
    with network.serving(), caplog.at_level(logging.WARNING):
        network.start_sites()
        row = network.row(network.run())
    assert row.state == "finished", row.failure
    assert sorted(read_summaries(row.sites_json)) == ["north", "south", "west"]
    assert caplog.text.count("east is left out: east signed evaluation_noise_multiplier") == 1
