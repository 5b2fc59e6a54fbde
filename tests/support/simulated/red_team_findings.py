"""Records like those that a red team keeps with a run, for tests of what is made of them."""

from typing import Any

from compliance.audit.log import NewEntry
from coordinator.audit.run_checks import FINDINGS
from coordinator.database.store import Store
from protocol.identity.roster import SigningKey


def figure(value: float, half: float) -> dict[str, float]:
    """Returns a figure with its interval, as it is kept."""
    return {"value": value, "low": value - half, "high": value + half}


def findings(
    advantage: float = 0.02, exposure: float = 0.1, half: float = 0.05, **said: Any
) -> dict[str, Any]:
    """Returns what a red team found that could tell so much; ``said`` is what else it says."""
    found = {
        "training": "this run's own final model",
        "attack": "LiRA",
        "patients": 256,
        "auroc": figure(0.5 + advantage / 2, half),
        "true_alarms_at_1_percent": figure(0.01, 0.01),
        "advantage": figure(advantage, half),
    }
    excess = {"records": 128, "others": 63, "excess": figure(exposure, half)}
    audit = {"claimed": 1.19, "delta": 1e-5, "lower_bounds": [0.36], "most_it_could_show": 3.0}
    return {
        "contradicted": False,
        "reasons": [],
        "candidate": found,
        "extraction": {"own-records": excess, "inserted": excess},
        "one_run": [audit],
        **said,
    }


def keep_findings(store: Store, key: SigningKey, run_id: str, found: dict[str, Any]) -> None:
    """Keeps findings with a run, and their digest in the log."""
    with store.transaction() as transaction:
        payload, record = transaction.release(run_id, FINDINGS, found)
        entry = NewEntry(type=FINDINGS, run_id=run_id, payload=payload, record=record)
        transaction.log([entry], key)
