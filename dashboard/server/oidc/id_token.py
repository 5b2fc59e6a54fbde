"""An identity token: its signature and every claim that a login rests on.

Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725 (algorithms are chosen here, not by the
token).
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from compliance.governance.access.linked_identity import LinkedIdentity
from protocol.errors import PolicyRefused

#: By how many seconds the provider's clock may differ.
SKEW = 60
MAX_TOKEN_BYTES = 16 * 1024
_LEAST_RSA_BITS = 2048
#: Keys that are tried for one token.
_MOST_TRIED = 8


class KeyUnknown(PolicyRefused):
    """No key of the provider's is the one that a token names: it may have a new one."""


@dataclass(frozen=True, kw_only=True)
class ExpectedClaims:
    """The claims that a token must have.

    ``max_age`` is how many seconds ago the person may have proved who they are; None for any.
    """

    issuer: str
    client_id: str
    nonce: str
    algorithms: Sequence[str]
    max_age: int | None = None


def identity_in(
    token: str, keys: Sequence[Mapping[str, Any]], expected: ExpectedClaims, now: int
) -> LinkedIdentity:
    """Returns whom an identity token is about.

    Args:
        token: in the compact form of RFC 7515.
        keys: the provider's public keys, as RFC 7517 writes them.
        expected: what it must say.
        now: seconds since 1970.

    Raises:
        KeyUnknown: it names a key that is not among these.
        PolicyRefused: its signature, issuer, audience, nonce or times are wrong.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise PolicyRefused("the identity token is too large")
    try:
        header = dict(jws.extract_compact(token.encode()).headers())
        algorithm = header.get("alg")
        if algorithm not in expected.algorithms:
            raise PolicyRefused(f"an identity token signed by {algorithm!r} does not count")
        claims = _verified(token, _usable(keys, header, str(algorithm)), str(algorithm))
        options = {
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
        }
        said = CodeIDToken(claims, header, options, {"client_id": expected.client_id})
        said.validate(now, SKEW)
    except (JoseError, ValueError, TypeError) as error:
        raise PolicyRefused(f"the identity token does not count: {error}") from error
    _require_audience(claims, expected.client_id)
    _require_nonce(claims, expected.nonce)
    _require_fresh(claims, expected.max_age, now)
    return LinkedIdentity(issuer=expected.issuer, subject=str(claims["sub"]))


def _usable(
    keys: Sequence[Mapping[str, Any]], header: Mapping[str, Any], algorithm: str
) -> list[RSAKey | ECKey]:
    """Returns the keys that may have made a signature.

    Raises:
        KeyUnknown: none of them.
    """
    kind, kid = ("EC" if algorithm.startswith("ES") else "RSA"), header.get("kid")
    found = [
        one
        for one in keys
        if one.get("kty") == kind
        and one.get("use", "sig") == "sig"
        and one.get("alg", algorithm) == algorithm
        and (kid is None or one.get("kid") == kid)
    ]
    if not found:
        raise KeyUnknown("the identity token names a key that the provider does not publish")
    public = ("kty", "kid", "n", "e") if kind == "RSA" else ("kty", "kid", "crv", "x", "y")
    made: list[RSAKey | ECKey] = []
    for one in found[:_MOST_TRIED]:
        said: Any = {name: one[name] for name in public if name in one}
        made.append(RSAKey.import_key(said) if kind == "RSA" else ECKey.import_key(said))
    return made


def _verified(token: str, keys: Sequence[RSAKey | ECKey], algorithm: str) -> dict[str, Any]:
    for key in keys:
        if isinstance(key, RSAKey) and key.raw_value.key_size < _LEAST_RSA_BITS:
            continue
        try:
            return dict(jwt.decode(token, key, algorithms=[algorithm]).claims)
        except JoseError:
            continue
    raise PolicyRefused("the identity token is not signed by its provider")


def _require_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """Checks that a token is for this client, and for others only where it was asked by this one.

    Raises:
        PolicyRefused: it is another's.
    """
    audience = claims["aud"]
    named = [audience] if isinstance(audience, str) else list(audience)
    if client_id not in named or (len(named) > 1 and claims.get("azp") != client_id):
        raise PolicyRefused("the identity token is for another client")


def _require_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise PolicyRefused("the identity token is of another login")


def _require_fresh(claims: Mapping[str, Any], max_age: int | None, now: int) -> None:
    """Checks that the person proved lately enough who they are, where that is asked for.

    Raises:
        PolicyRefused: it is too long ago, or is not said.
    """
    if max_age is None:
        return
    since = claims.get("auth_time")
    if not isinstance(since, int | float) or not -SKEW <= now - since <= max_age + SKEW:
        raise PolicyRefused("the provider asked the person too long ago")
