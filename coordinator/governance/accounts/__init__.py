"""Accounts of the dashboard: whose key is sealed, who logs in elsewhere, failed logins, codes.

Rules:

1. The log and the database hold a box's digest; the box itself is a file of the coordinator's
   folder, for its owner alone, and in no bundle, backup of the database or report.
2. An attempt is counted before the password is tried, so that nobody tries more by trying at once.
3. A one-time step is used once. Refused logins are logged, one entry an hour and account at most.
"""

from coordinator.governance.accounts.folder import AccountFolder
from coordinator.governance.accounts.links import IdentityLink, LinkRegister, links_in
from coordinator.governance.accounts.register import (
    Account,
    AccountRegister,
    LoginAttempt,
    accounts_in,
    answer_login,
    read_attempt,
)
from coordinator.governance.accounts.tables import (
    AccountRow,
    IdentityLinkRow,
    IdentityLoginRow,
    RefusedLoginRow,
)

__all__ = [
    "Account",
    "AccountFolder",
    "AccountRegister",
    "AccountRow",
    "IdentityLink",
    "IdentityLinkRow",
    "IdentityLoginRow",
    "LinkRegister",
    "LoginAttempt",
    "RefusedLoginRow",
    "accounts_in",
    "answer_login",
    "links_in",
    "read_attempt",
]
