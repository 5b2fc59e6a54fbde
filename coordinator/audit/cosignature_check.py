"""Holds cosignatures of the log's heads against the keys of those who are said to have signed.

Nobody but a cosigner can make its line, not even the holder of the log's key: a head that
a quorum of hospitals has cosigned was shown to each of them as the one history.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compliance.storage.clock import told_time
from coordinator.audit.faults import Faults
from coordinator.database.log.cosignatures import CosignaturesRow, all_cosignatures
from coordinator.database.log.entry_proofs import newest_roster
from coordinator.database.store import CheckpointRow, RunRow
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import Roster, parse_roster
from protocol.log.cosignature import Cosignature, VerifierKey, cosigned_lines, site_cosigner
from protocol.log.signed_note import split_note
from protocol.secagg.context import RoundContext
from protocol.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Cosigned:
    """The verified cosignatures of all heads, by size, and the names of cosigners not known."""

    by_size: Mapping[int, tuple[Cosignature, ...]]
    unknown: frozenset[str]

    @cached_property
    def cosigners(self) -> Mapping[int, frozenset[VerifierKey]]:
        """The keys that have signed, by the head's size."""
        return {size: frozenset(one.key for one in all) for size, all in self.by_size.items()}

    @property
    def newest(self) -> Mapping[VerifierKey, tuple[int, int]]:
        """Size and time of the newest head that each key has signed."""
        sizes = sorted(self.by_size)
        return {one.key: (size, one.time) for size in sizes for one in self.by_size[size]}

    def newest_met(self, keys: Iterable[VerifierKey], least: int) -> int:
        """Returns the size of the newest head that so many of some keys have signed; 0: none."""
        wanted = frozenset(keys)
        met = [s for s, found in self.cosigners.items() if len(found & wanted) >= least]
        return max(met, default=0)


def check_cosignatures(
    session: Session,
    also: Sequence[VerifierKey],
    faults: Faults,
    sizes: Collection[int] | None = None,
) -> Cosigned:
    """Verifies every cosignature by a hospital of any run's roster, and by other known keys.

    Args:
        session: of the coordinator's database.
        also: the keys of witnesses outside the consortium, as whoever verifies knows them.
        faults: takes what is wrong.
        sizes: only those of the heads of these sizes; of all when None.
    """
    keys = [*_site_keys(session, faults), *also]
    known = {(key.name, key.key_id) for key in keys}
    rows = all_cosignatures(session, sizes)
    cosigned = select(CheckpointRow.size, CheckpointRow.note).where(
        CheckpointRow.size.in_(select(CosignaturesRow.size) if sizes is None else sizes)
    )
    notes = {size: note for size, note in session.execute(cosigned)}
    found: dict[int, tuple[Cosignature, ...]] = {}
    unknown: set[str] = set()
    for row in rows:
        with faults.checking(f"the cosignatures of the head of {row.size} entries"):
            if row.size not in notes:
                raise StoreBroken(f"a head of {row.size} entries was cosigned, the log has none")
            try:
                text, _ = split_note(notes[row.size])
                found[row.size] = tuple(cosigned_lines(text, row.signatures, keys))
            except MessageRefused as error:
                raise StoreBroken(
                    f"a cosignature of the head of {row.size} entries is wrong: {error}"
                ) from error
            unknown |= {
                line.name for line in row.signatures if (line.name, line.key_id) not in known
            }
    return Cosigned(by_size=found, unknown=frozenset(unknown))


def require_cosigned(
    context: RoundContext,
    study: Study,
    roster: Roster,
    cosigners: Mapping[int, frozenset[VerifierKey]],
) -> None:
    """Checks that a quorum of the study's hospitals has cosigned the head that a round names.

    Raises:
        StoreBroken: too few have.
    """
    keys = {site_cosigner(site, roster.key_of(site)) for site in study.site_names}
    found = len(keys & cosigners.get(context.log_size, frozenset()))
    if found < study.threshold:
        raise StoreBroken(
            f"{found} of {len(keys)} hospitals have cosigned the head of {context.log_size} "
            f"entries under which it began, {study.threshold} must"
        )


def _site_keys(session: Session, faults: Faults) -> list[VerifierKey]:
    """Returns the keys under which hospitals of any run cosign."""
    keys: dict[VerifierKey, None] = {}
    # Most runs have the same roster: each is read once.
    rosters = select(func.max(RunRow.id), RunRow.roster_json).group_by(RunRow.roster_json)
    for run, text in session.execute(rosters):
        with faults.checking("its roster", run=str(run)):
            for member in parse_roster(text.encode()).members:
                keys[site_cosigner(member.site, bytes.fromhex(member.public_key))] = None
    return list(keys)


def cosigned_by_quorum(session: Session, cosigned: Cosigned) -> int:
    """Returns how far a quorum of the newest run's hospitals has cosigned the log; 0: nowhere."""
    try:
        roster = newest_roster(session)
    except MessageRefused:
        return 0  # a fault, which is told
    if roster is None:
        return 0
    keys = [site_cosigner(one.site, bytes.fromhex(one.public_key)) for one in roster.members]
    return cosigned.newest_met(keys, roster.quorum)


def cosigned_at(seconds: int) -> str:
    """Returns a cosignature's time as people are told it; far beyond any calendar, the number."""
    try:
        return told_time(seconds)
    except (OverflowError, ValueError, OSError):
        return str(seconds)
