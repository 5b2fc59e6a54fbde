"""Real runs whose records are copied: of several modes of privacy, by the same hospitals.

A template has two rounds of training, of which the second is copied as often as a longer study has
rounds; what the hospitals signed when they joined is about the longer study.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.audit.log import LoggedEntry
from coordinator.database.store import (
    ReleaseRow,
    RoundRow,
    RunRow,
    SnapshotRow,
    logged_entries,
)
from coordinator.rounds.run_records import RunRecord
from protocol.identity.roster import SigningKey
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import Summary, read_summary
from protocol.vectors.tensors import decode_tensors
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import TABLE_STUDY

#: The privacy of the templates: several budgets, and none.
PRIVACY = (
    "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
    "{mode: none, sampling_rate: 1.0}",
    "{mode: per_site, epsilon: 1, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
    "{mode: per_site, epsilon: 2, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
)
_USUAL = PRIVACY[0]


@dataclass(frozen=True, kw_only=True)
class Template:
    """The records of one finished run, as they stand in its folder.

    ``study`` is the longer one that its copies are of, ``joined`` what each hospital signed when it
    joined that. ``entries`` are those from the run's beginning to its end, also those of no run.
    """

    study: Study
    joined: Mapping[str, Summary]
    run: RunRow
    rounds: Sequence[RoundRow]
    releases: Sequence[ReleaseRow]
    snapshot: SnapshotRow
    entries: Sequence[LoggedEntry]


@dataclass(frozen=True, kw_only=True)
class Templates:
    """Templates of one consortium: its folder, and the keys of its hospitals."""

    folder: Path
    runs: Sequence[Template]
    keys: dict[str, SigningKey]


def study_of(privacy: str, *, rounds: int, sites: int) -> Study:
    """Returns the small study with other hospitals, rounds and privacy."""
    first, rest = TABLE_STUDY.split("sites:\n")
    names = "".join(
        f"  - {{name: h{one:02}, records: h{one:02}.csv, patients: 40}}\n" for one in range(sites)
    )
    text = f"{first}sites:\n{names}split:{rest.split('split:', 1)[1]}"
    threshold = sites - 1 if sites < 6 else sites * 3 // 4
    text = text.replace("threshold: 3", f"threshold: {threshold}")
    return read_study(text.replace("rounds: 2", f"rounds: {rounds}").replace(_USUAL, privacy))


def made_templates(folder: Path, *, rounds: int, sites: int, modes: int) -> Templates:
    """Runs a short study in several modes of privacy; twelve hospitals take five seconds for each.

    Args:
        folder: a new one for all that the hospitals have.
        rounds: of training, of the study that the copies are of.
        sites: the number of hospitals, at least 4.
        modes: how many of ``PRIVACY``.
    """
    short = [study_of(one, rounds=2, sites=sites) for one in PRIVACY[:modes]]
    federation = Federation(folder, short[0], budget=1000.0)
    joined = []
    for number, study in enumerate(short):
        _run(federation, study, f"template-{number}")
        longer = study_of(PRIVACY[number], rounds=rounds, sites=sites)
        joined.append((longer, _joined(federation, longer, f"longer-{number}")))
    with federation.store.read() as session:
        entries = logged_entries(session)
        found = [
            _template(session, entries, f"template-{number}", *given)
            for number, given in enumerate(joined)
        ]
    keys = {name: silo._keys.own for name, silo in federation.silos.items()}
    federation.close()
    return Templates(folder=federation.workspace.root, runs=found, keys=keys)


def _joined(federation: Federation, study: Study, run: str) -> dict[str, Summary]:
    invitation = replace(federation.invitation, run_id=run, study=study)
    found = {}
    for site, silo in federation.silos.items():
        found[site] = read_summary(silo.join(invitation).data)
        silo.leave(run)
    return found


def _run(federation: Federation, study: Study, run: str) -> None:
    federation.run_id, federation.study = run, study
    key = federation.workspace.signing_key()
    record = RunRecord(federation.store, key, federation.roster, study, run)
    record.begin(sweep=None, simulation=True, test_noise=False)
    invitation = replace(federation.invitation, run_id=run, study=study)
    joined = {site: silo.join(invitation) for site, silo in federation.silos.items()}
    summaries = record.keep("approvals", joined)
    first = next(iter(federation.silos.values()))
    outcome = federation.runner(summaries).run(decode_tensors(first.initial_model(run)))
    record.keep("settlements", {s: silo.leave(run) for s, silo in federation.silos.items()})
    figures = {"auroc": 0.8, "accuracy": 0.7}
    own = figures | {"train_patients": 28, "test_patients": 12}
    record.finish(outcome, figures | {"sites": dict.fromkeys(federation.silos, own)})


def _template(
    session: Session,
    entries: Sequence[LoggedEntry],
    run: str,
    study: Study,
    joined: Mapping[str, Summary],
) -> Template:
    def query(table: type[Any]) -> Sequence[Any]:
        return session.scalars(select(table).filter_by(run_id=run).order_by(table.id)).all()

    (snapshot,) = query(SnapshotRow)
    own = [entry.index for entry in entries if entry.content.run == run]
    found = Template(
        study=study,
        joined=joined,
        run=session.get_one(RunRow, run),
        rounds=query(RoundRow),
        releases=query(ReleaseRow),
        snapshot=snapshot,
        entries=entries[own[0] : own[-1] + 1],
    )
    session.expunge_all()
    return found
