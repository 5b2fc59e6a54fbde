"""A folder of many runs: what the dashboard is measured on."""

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.store import MaskedRow, Store, Transaction
from coordinator.database.workspace import Workspace
from protocol.encoding import digest
from protocol.identity.roster import SigningKey
from tests.support.large_store.acts import add_acts, add_alerts
from tests.support.large_store.copies import BulkLog, CopiedRun, RunCopier, spread
from tests.support.large_store.templates import Templates, made_templates

#: So many runs are written in one transaction.
_AT_ONCE = 5


@dataclass(frozen=True, kw_only=True)
class StoreSize:
    """The size of a store: runs, rounds of each, hospitals, modes of privacy, acts and alerts.

    A round of twelve hospitals has 20 entries of the log; runs that failed have half of theirs.
    """

    runs: int = 500
    rounds: int = 106
    sites: int = 12
    modes: int = 4
    acts: int = 200
    alerts: int = 100


#: A store for tests: made in two seconds.
SMALL = StoreSize(runs=13, rounds=3, sites=4, modes=2, acts=3, alerts=4)


def make_large_store(folder: Path, size: StoreSize = SMALL) -> Path:
    """Makes a folder of simulations; the same size gives the same runs, but for keys and noise.

    Every 12th run failed, every 31st was interrupted; the newest says that it runs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        templates = made_templates(
            Path(scratch), rounds=size.rounds, sites=size.sites, modes=size.modes
        )
        return fill_folder(folder, templates, size)


def fill_folder(
    folder: Path, templates: Templates, size: StoreSize, database: str | None = None
) -> Path:
    """Makes a folder of copies; ``database`` is the address of an empty PostgreSQL database."""
    workspace = _folder_like(templates, folder, database)
    wanted = list(_wanted(size.runs))
    names, key = [one.name for one in wanted], workspace.signing_key()
    with closing(Store(workspace.database)) as store:
        _write(store, key, templates, wanted)
        add_alerts(store, key, names, size.alerts)
        add_acts(store, key, names, size.acts)
    return workspace.root


def _folder_like(templates: Templates, folder: Path, database: str | None) -> Workspace:
    """Returns a new folder with the key and the models of the templates."""
    workspace, source = Workspace.create(folder, database), Workspace(templates.folder)
    for name in (source.key_file.name, source.public_file.name):
        (folder / name).unlink()
        shutil.copy2(templates.folder / name, folder / name)
    shutil.copytree(source.snapshots, workspace.snapshots, dirs_exist_ok=True)
    return workspace


def _wanted(runs: int) -> Iterator[CopiedRun]:
    """Yields the runs of a store, spread over a year, oldest first."""
    chance = random.Random(0)
    for number, began in enumerate(spread(runs)):
        yield CopiedRun(
            name=f"{began:%Y%m%d-%H%M%S}-{number:04x}",
            seed=1 + number % 10,
            state=_state(number, runs),
            began=began,
            auroc=round(chance.gauss(0.8, 0.03), 4),
            sweep=f"sweep-{number // 20:03}" if number % 3 == 0 else None,
        )


def _state(number: int, runs: int) -> str:
    if number == runs - 1 or number % 31 == 30:
        return "running"
    return "failed" if number % 12 == 11 else "finished"


def _write(
    store: Store, key: SigningKey, templates: Templates, wanted: Sequence[CopiedRun]
) -> None:
    log = BulkLog(key=key, hospitals=templates.keys)
    for first in range(0, len(wanted), _AT_ONCE):
        for number, one in enumerate(wanted[first : first + _AT_ONCE], start=first):
            template = templates.runs[number % len(templates.runs)]
            RunCopier(log, template, one).copy()
        with store.transaction() as transaction:
            log.write(transaction.session)
    with store.transaction() as transaction:
        transaction.log(list(_newest_messages(transaction, log)), key)


def _newest_messages(transaction: Transaction, log: BulkLog) -> Iterator[NewEntry]:
    """Yields the entries of the hospitals' newest messages, whose rows were written every round."""
    for site, (run, message) in log.messages.items():
        row = MaskedRow(site=site, run_id=run, message=message, kept_at=timestamp())
        row.revision = log.masked // len(log.messages)
        record = transaction.write(row)
        yield NewEntry(type="masked", run_id=None, payload=digest(message), record=record)
