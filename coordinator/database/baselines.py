"""Pooled references: what central training with all records in one place would have reached.

No consortium could compute one; a simulation keeps it beside its runs.
"""

import json
from collections.abc import Mapping
from typing import Any

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.store import ReferenceRow, Store
from protocol.identity.roster import SigningKey
from protocol.study.privacy import NoPrivacy
from protocol.study.study import Study


def keep_reference(
    store: Store,
    key: SigningKey,
    name: str,
    sweep: str,
    study: Study,
    figures: Mapping[str, Any],
) -> None:
    """Keeps a reference and logs its digest, in one transaction."""
    row = ReferenceRow(
        id=name,
        sweep=sweep,
        study_digest=study.digest,
        mode="pooled",
        seed=study.seeds.model,
        epsilon=None if isinstance(study.privacy, NoPrivacy) else study.privacy.epsilon,
        figures_json=json.dumps(figures, sort_keys=True, allow_nan=False),
        created_at=timestamp(),
    )
    with store.transaction() as transaction:
        registered = transaction.register(study)
        record = transaction.write(row)
        kept = NewEntry(type="reference", run_id=name, payload=study.digest, record=record)
        transaction.log([*registered, kept], key)
