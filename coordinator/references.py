"""Pooled references: what central training with all records in one place would have reached.

No consortium could compute one; a simulation keeps it beside its runs. The log
holds a digest over everything that the row says.
"""

import json
from collections.abc import Mapping
from typing import Any

from compliance.audit_log import NewEntry
from coordinator.store import ReferenceRow, Store, now
from protocol.encoding import digest_json
from protocol.identity import SigningKey
from protocol.privacy import NoPrivacy
from protocol.study import Study


def keep_reference(
    store: Store,
    key: SigningKey,
    name: str,
    sweep: str,
    study: Study,
    figures: Mapping[str, Any],
) -> None:
    """Remembers a reference and logs its digest, in one transaction."""
    row = ReferenceRow(
        id=name,
        sweep=sweep,
        study_digest=study.digest,
        mode="pooled",
        seed=study.seeds.model,
        epsilon=None if isinstance(study.privacy, NoPrivacy) else study.privacy.epsilon,
        figures_json=json.dumps(figures, sort_keys=True, allow_nan=False),
        created_at=now(),
    )
    logged = {"reference": reference_digest(row)}
    with store.transaction() as transaction:
        if transaction.register(study.digest, study.name, study.canonical_bytes):
            logged = {"study-registered": study.digest} | logged
        transaction.add(row)
        transaction.log(
            [NewEntry(type=kind, run_id=name, payload=said) for kind, said in logged.items()], key
        )


def reference_digest(row: ReferenceRow) -> str:
    """Returns the digest of all that a reference's row says."""
    return digest_json({column.name: getattr(row, column.name) for column in row.__table__.columns})
