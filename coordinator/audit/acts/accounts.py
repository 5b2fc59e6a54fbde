"""Accounts, linked identities and the logins by them: each is what was signed."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.acts import read_act
from coordinator.audit.acts.signed_acts import CARRIED_OUT, carried_out
from coordinator.audit.faults import Faults
from coordinator.governance.accounts import AccountRow, IdentityLinkRow, IdentityLoginRow
from coordinator.governance.tables import ActRow
from protocol.errors import StoreBroken
from protocol.log.entry import LogEntry


def check_accounts(session: Session, rows: Sequence[ActRow], faults: Faults) -> None:
    """Checks that each account is one that its owner set, under the owner's own key."""
    acts = {row.digest: row for row in rows if row.outcome in CARRIED_OUT}
    for row in session.scalars(select(AccountRow).order_by(AccountRow.id)):
        act = acts.pop(row.act, None)
        with faults.checking(f"account {row.id}"):
            said = None if act is None else read_act(act.document)
            meant = ("account.set", row.person, row.public_key, row.public_key, row.box)
            if said is None or meant != (
                said.request.action,
                said.person,
                said.public_key,
                said.request.details.get("key"),
                said.request.details.get("box"),
            ):
                raise StoreBroken(f"the account of {row.person} is none that they set")


def check_links(
    session: Session, rows: Sequence[ActRow], entries: Sequence[LogEntry], faults: Faults
) -> None:
    """Checks that each link is what two people signed, and stood at each login by it."""
    acts = {row.digest: row for row in rows if row.outcome in CARRIED_OUT}
    links = {row.id: row for row in session.scalars(select(IdentityLinkRow))}
    for number, link in sorted(links.items()):
        act = acts.pop(link.act, None)
        with faults.checking(f"link {number}"):
            said = None if act is None else carried_out(session, act)
            meant = ("account.link", link.person, link.public_key, link.issuer, link.subject)
            details = {} if said is None else said.details
            named = tuple(details.get(name) for name in ("key", "issuer", "subject"))
            if said is None or meant != (said.action, said.subject, *named):
                raise StoreBroken(f"the linked identity of {link.person} is none that was signed")
    places = {entry.record: entry.seq for entry in entries if entry.record is not None}
    for login in session.scalars(select(IdentityLoginRow).order_by(IdentityLoginRow.id)):
        with faults.checking(f"login {login.id}"):
            by = links.get(login.link)
            if by is None or by.person != login.person or not _stood(by, login.record, places):
                raise StoreBroken(f"{login.person} had no such linked identity at {login.at}")


def _stood(link: IdentityLinkRow, record: str, places: Mapping[str, int]) -> bool:
    """Whether a link stood at the entry that wrote a record, in the order of the log."""
    said = {column.name: getattr(link, column.name) for column in link.__table__.columns}
    linked = IdentityLinkRow(**{**said, "until": None, "revision": 1}).record
    ended = None if link.until is None else places[link.record]
    return places[linked] < places[record] and (ended is None or places[record] < ended)
