"""The log of serving of a hospital's folder, with the keys and the queries that lie there."""

from pathlib import Path

from compliance.storage.clock import Clock, utc_now
from protocol.errors import FederationError
from protocol.transport.steps import SNAPSHOT
from silos.config.directory import reading
from silos.database.identity_keys import IdentityKeys
from silos.results.inference.query_log import FOLDER, QueryLog
from silos.results.serving.serving_log import ServingLog


def serving_log_of(home: Path, clock: Clock = utc_now) -> ServingLog:
    """Returns the log of serving of a hospital; nothing is written.

    Raises:
        SiteFileRefused, WorkspaceRefused, LedgerBroken: no hospital can be read there.
    """
    with reading(home) as (_, hospital):
        keys = IdentityKeys(hospital)
        own, former = keys.own, frozenset(bytes.fromhex(one) for one in keys.public())

    def last_answer(model: str, since: str) -> str | None:
        if not (home / FOLDER / "queries.log").is_file():
            return None
        try:
            entries = QueryLog(home).entries()
        except FederationError:
            return None  # told by whoever reads the log of queries
        times = [one.time for one in entries if one.model == model and one.time >= since]
        return max(times, default=None)

    return ServingLog(home, own, former, last_answer, clock)


def snapshot_of_run(home: Path, run: str) -> str | None:
    """Returns the digest of the snapshot of a run's final model that this hospital signed.

    None where it signed none.
    """
    with reading(home) as (_, hospital):
        return hospital.signing_record().of(run).get(SNAPSHOT)
