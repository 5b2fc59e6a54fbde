"""Operations after a restore: accept the database as the newest, or write its budget off.

Nobody can see from a database that it is the newest copy. Its own lists of heads
show it (``compliance/ledger/listed_heads.py``), and what the coordinator has kept of this
hospital's signed statements. ``accept_restored`` is for a hospital that has lost its
lists, ``write_off`` for one whose ledger is an older copy. The coordinator is
asked in both; where it cannot be, the hospital's people must say that they go on
without what it knows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compliance.ledger.entries import LedgerSummary
from protocol.errors import FederationError, LinkLost, PolicyRefused
from silos.config.directory import alone, opened
from silos.config.site_file import SiteFile
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.run_decisions import RunDecisions
from silos.operations.roster import Line, line_of
from silos.patients.entries import PatientEntries
from silos.rounds.openings.rollback_evidence import read_signed_heads


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The studies (digests) whose approvals ended, and whether the lists were good."""

    withdrawn: tuple[str, ...]
    were_good: bool


@dataclass(frozen=True, kw_only=True)
class WrittenOff:
    """The number of lost heads, and the budget's balance now."""

    lost: int
    summary: LedgerSummary


def accept_restored(home: Path, *, signed_by: str, unasked: bool) -> Restored:
    """Lets a hospital go on whose lists of heads were lost; see ``accept_restored_over``.

    Args:
        home: the hospital's folder.
        signed_by: an approver of the site file.
        unasked: go on although the coordinator cannot be asked.

    Raises:
        WorkspaceRefused: the supervisor is at work.
        PolicyRefused: who signs is no approver.
        LinkLost: the coordinator cannot be asked, and ``unasked`` is not said.
        LedgerBroken: the ledger is an older copy: it may be written off.
    """
    with opened(home) as (site, hospital), alone(home):
        signer = _approver(site, signed_by)
        with _line(home, site, hospital, unasked=unasked) as line:
            return accept_restored_over(hospital, line, signer)


def accept_restored_over(hospital: SiteDatabase, line: Line | None, signed_by: str) -> Restored:
    """Lets ledger and decisions go on from where they are, and lists them anew.

    What was withdrawn since the copy was made is not known, so every study needs a
    new approval; nor who opted out since, so opt-outs must be recorded again. Lists that
    agree with the database are left alone.

    Raises:
        LedgerBroken: the ledger lacks a head that is known: it is an older copy.
    """
    heads, approvals = heads_held_by_others(hospital, line), approvals_of(hospital)
    hospital.ledger.verify(remembered=heads)
    try:
        hospital.ledger.require_newest()
        approvals.all()
        RunDecisions(hospital).all()
        PatientEntries(hospital).all()
        return Restored(withdrawn=(), were_good=True)
    except FederationError:
        hospital.ledger.accept_copy(heads)
    RunDecisions(hospital).accept_copy()
    PatientEntries(hospital).accept_copy()
    done = approvals.accept_copy(approver=signed_by, reason="the database was restored")
    return Restored(withdrawn=tuple(entry.study for entry in done), were_good=False)


def write_off(home: Path, *, signed_by: str, unasked: bool) -> WrittenOff:
    """Books what a ledger's lost parts can have spent; see ``write_off_over``.

    Raises:
        WorkspaceRefused: the supervisor is at work.
        PolicyRefused: who signs is no approver, or nothing is missing.
        LinkLost: the coordinator cannot be asked, and ``unasked`` is not said.
    """
    with opened(home) as (site, hospital), alone(home):
        signer = _approver(site, signed_by)
        with _line(home, site, hospital, unasked=unasked) as line:
            return write_off_over(hospital, line, signer)


def write_off_over(hospital: SiteDatabase, line: Line | None, signed_by: str) -> WrittenOff:
    """Lets an older copy of the ledger go on, with nothing left to spend.

    Raises:
        PolicyRefused: the ledger holds every head that is known of it.
        LedgerBroken: what there is of the ledger is damaged itself.
    """
    lost = hospital.ledger.write_off(heads_held_by_others(hospital, line), signed_by=signed_by)
    return WrittenOff(lost=lost, summary=hospital.ledger.summary())


def heads_held_by_others(hospital: SiteDatabase, line: Line | None) -> tuple[str, ...]:
    """Returns the heads of this ledger in what the coordinator has kept; none without a line."""
    if line is None:
        return ()
    signed_heads = read_signed_heads(line.document("statements"))
    return signed_heads.ledger_heads(hospital.site, IdentityKeys(hospital).public())


def _approver(site: SiteFile, signed_by: str) -> str:
    name = signed_by.strip()
    if name not in site.policy.approvers:
        named = ", ".join(site.policy.approvers) or "nobody yet"
        raise PolicyRefused(
            f"{signed_by!r} may not sign this: policy.approvers in the site file names {named}"
        )
    return name


@contextmanager
def _line(
    home: Path, site: SiteFile, hospital: SiteDatabase, *, unasked: bool
) -> Iterator[Line | None]:
    """Yields the line to the coordinator, or None where it is not asked."""
    if unasked:
        yield None
        return
    try:
        with line_of(home, site, hospital) as line:
            yield line
    except LinkLost as error:
        raise LinkLost(
            f"{error}. The coordinator knows what this hospital has sent: try again later, or go "
            "on without asking it, with --without-coordinator"
        ) from error
