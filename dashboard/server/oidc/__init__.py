"""The login by OpenID Connect: a provider says who somebody is; such a session only looks.

Rules:

1. The code flow with PKCE (S256). State, nonce and verifier are made anew for every login and lie,
   sealed, in a cookie of the browser that began it, for ten minutes; each is used once.
2. An identity token counts by its signature alone, of a fixed list of algorithms with public keys;
   issuer, audience, nonce and times must be right. Who it is, the service says.
3. What a provider answers is bounded in size and time. While it is away, people log in with their
   accounts.
4. Nothing of it is imported where no provider is set: it needs the extra ``oidc``.
"""

from dashboard.server.oidc.settings import OidcSettings, read_oidc_settings

__all__ = ["OidcSettings", "read_oidc_settings"]
