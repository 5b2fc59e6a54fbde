"""The register's proof of what a hospital was to serve, held against the model that it loads."""

from pathlib import Path

from collegium.models.inference.scoring_place import ScoringPlace
from collegium.verification.proofs import verify_proof
from protocol.errors import MessageRefused, PolicyRefused

#: The entries that name the version which is served from then on.
_NAMES = frozenset({"model-promoted", "model-canary-begun"})


def fault_of(place: ScoringPlace, proof: Path, public: bytes) -> str | None:
    """Returns in what a model is not the one that a proof names; None where it is that one.

    Args:
        place: the model that is loaded.
        proof: that ``collegium models served NAME SITE --to FILE`` wrote.
        public: the log's key (32 bytes), from somewhere that is trusted.

    Raises:
        WorkspaceRefused: the proof cannot be read.
        MessageRefused: it does not hold under this key.
    """
    entry = verify_proof(proof, public=public)["entry"]
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or not kind.startswith("model-"):
        raise MessageRefused(f"{proof.name} proves no event of a model: models served writes one")
    if kind not in _NAMES:
        return (
            f"{proof.name} proves {kind}, an event that names the version which left. Which one "
            "came in its place, collegium models served says"
        )
    if place.loaded.snapshot is None:
        return f"no snapshot names this model; {proof.name} names {entry['payload'][:12]}"
    if place.loaded.snapshot != entry["payload"]:
        return (
            f"this model's snapshot is {place.loaded.snapshot[:12]}; by {proof.name} version "
            f"{entry['payload'][:12]} is to be served"
        )
    return None


def require_expected(
    place: ScoringPlace, proof: Path, public: bytes, *, anyway: bool
) -> str | None:
    """Refuses a model that is not the one which a proof names; see ``fault_of``.

    Args:
        place, proof, public: see ``fault_of``.
        anyway: it is served all the same, and the fault returned, to be told.

    Raises:
        PolicyRefused: it is another.
    """
    fault = fault_of(place, proof, public)
    if fault is not None and not anyway:
        raise PolicyRefused(f"{fault}. Nothing is served; --anyway serves it all the same")
    return fault
