"""Tables of accounts: boxes that were set, identities that were linked, logins."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from coordinator.database.store import LoggedRow


class AccountRow(LoggedRow):
    """An account from ``since`` to ``until``, which is NULL now; ``box`` is the digest of its box.

    Another password is another row. ``act`` is the digest of the act that set it.
    """

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(String(100), index=True)
    public_key: Mapped[str] = mapped_column(String(64), index=True)
    box: Mapped[str] = mapped_column(String(64))
    since: Mapped[str] = mapped_column(String(32))
    until: Mapped[str | None] = mapped_column(String(32))
    act: Mapped[str] = mapped_column(String(64))


class RefusedLoginRow(LoggedRow):
    """Logins that were refused since the row before; ``person`` is NULL where the name is unknown.

    What was typed is not kept, nor from where it came.
    """

    __tablename__ = "refused_login"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(String(32), index=True)
    person: Mapped[str | None] = mapped_column(String(100))
    refused: Mapped[int]


class IdentityLinkRow(LoggedRow):
    """An identity at a provider, linked to a person from ``since`` to ``until``, which is NULL now.

    It is linked to the person under one key. ``act`` is the digest of the act that linked it.
    """

    __tablename__ = "identity_link"
    id: Mapped[int] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(String(100), index=True)
    public_key: Mapped[str] = mapped_column(String(64))
    issuer: Mapped[str] = mapped_column(String(300))
    subject: Mapped[str] = mapped_column(String(255), index=True)
    since: Mapped[str] = mapped_column(String(32))
    until: Mapped[str | None] = mapped_column(String(32))
    act: Mapped[str] = mapped_column(String(64))


class IdentityLoginRow(LoggedRow):
    """Logins by a link since the row before; ``session`` names that of the last one.

    Nobody's key signs such a login: the row says what the dashboard's process said.
    """

    __tablename__ = "identity_login"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(String(32), index=True)
    link: Mapped[int] = mapped_column(index=True)
    person: Mapped[str] = mapped_column(String(100))
    session: Mapped[str] = mapped_column(String(16))
    logins: Mapped[int]
