"""Evidence that an auditor brings from outside the folder: a key, heads of the log, a report.

A holder of the coordinator's key can write a whole new folder that agrees with
itself. Only what others have kept shows that it is another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance.audit.policy_file import read_witness_policy
from compliance.storage.atomic_file import read_named
from coordinator.audit.faults import Faults
from coordinator.audit.verification import Verified
from protocol.errors import MessageRefused
from protocol.log.cosignature import VerifierKey
from protocol.secagg.log_proof import open_head

_KEY_BYTES = 32
#: A note is a few kilobytes.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class AuditInputs:
    """The key to trust (hexadecimal, or a file), notes, a report, a hospital's folder, a policy.

    ``declarations`` is the consortium file that the report was made with; the folder's when None.
    """

    key: str | None = None
    checkpoints: Sequence[Path] = ()
    report: Path | None = None
    declarations: Path | None = None
    hospital: Path | None = None
    policy: Path | None = None

    def witnesses(self, public: bytes) -> tuple[VerifierKey, ...]:
        """Returns the keys of the policy's cosigners; none without one.

        Raises:
            WorkspaceRefused: the policy cannot be read, is none, or names other logs only.
        """
        return () if self.policy is None else read_witness_policy(self.policy, public).keys

    def require_none(self, folder: Path) -> None:
        """Refuses all of it for a hospital's own folder, which holds no log.

        Raises:
            MessageRefused: something was given.
        """
        if self != AuditInputs():
            raise MessageRefused(
                f"{folder} is a hospital's own folder: --key, --checkpoint, --report, "
                "--declarations, --policy and --hospital are about a coordinator's"
            )


def read_key(given: str) -> bytes:
    """Returns the public key that an auditor trusts.

    Raises:
        MessageRefused: it is neither 64 hexadecimal digits nor a file that holds them.
    """
    text = given
    if Path(given).is_file():
        text = read_named(Path(given), "--key", _MAX_BYTES).decode("ascii", "replace")
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise MessageRefused(
            f"--key {given[:80]}: give the log's public key as 64 hexadecimal digits, or a file "
            "that holds them (coordinator.pub, from somewhere you trust)"
        )
    return key


def check_checkpoint(path: Path, found: Verified, public: bytes, faults: Faults) -> int:
    """Checks that the log still begins with what a note says of it; returns the note's size.

    Args:
        path: a note that somebody else kept (``collegium silo log --to FILE``).
        found: the verified log.
        public: the log's key.
        faults: takes what is wrong.

    Raises:
        WorkspaceRefused: there is no such file.
    """
    note = read_named(path, "--checkpoint", _MAX_BYTES)
    try:
        head = open_head(note, public)
    except MessageRefused as error:
        faults.add(f"the checkpoint {path.name} is not one that this log's key has signed: {error}")
        return 0
    root = found.root_at(head.size)
    if root is None:
        faults.add(
            f"the checkpoint {path.name} covers {head.size} entries, the log has "
            f"{len(found.leaves)}: it was cut"
        )
    elif root != head.root.hex():
        faults.add(
            f"the first {head.size} entries of the log are not the ones that the checkpoint "
            f"{path.name} was signed for: the log was rewritten"
        )
    return head.size
