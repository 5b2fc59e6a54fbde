"""The file of a policy of witnesses, as a person names it for one log."""

from pathlib import Path

from compliance.storage.atomic_file import read_named
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.log.cosignature import log_key
from protocol.log.witness_policy import MAX_POLICY_BYTES, WitnessPolicy, parse_policy


def read_witness_policy(path: Path, public: bytes) -> WitnessPolicy:
    """Returns the policy in a file, for the log that a key signs.

    Raises:
        WorkspaceRefused: it cannot be read, is none, or names other logs only.
    """
    try:
        policy = parse_policy(read_named(path, "the policy", MAX_POLICY_BYTES))
    except MessageRefused as error:
        raise WorkspaceRefused(f"the policy {path} cannot be used: {error}") from error
    own = log_key(public)
    if policy.logs and own not in [one.key for one in policy.logs]:
        raise WorkspaceRefused(f"the policy {path} names other logs than this one: {own.text}")
    return policy
