"""Headers of every answer: nothing from other hosts, no frame around it, nothing kept.

Streamlit needs styles set by its scripts (``unsafe-inline`` for styles alone), blobs for workers
and pictures, and its own start-up script, which is named by its digest. No script runs that is not
Streamlit's own file; ``eval`` is refused.
"""

import base64
import hashlib
from collections.abc import Iterable

from dashboard.server.http.start_page import start_scripts

#: What every answer has.
ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Without TLS a browser looks up the names of links before anybody follows them.
    "x-dns-prefetch-control": "off",
    # With no-referrer a browser hides the origin of a form as well; no other host learns anything.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def own_page_policy(style: str) -> str:
    """Returns the content security policy of a page of ours: its own style, no script."""
    return f"{_NOTHING}; style-src {digest_of(style)}; img-src data:"


def streamlit_policy(hosts: Iterable[str], *, secure: bool) -> str:
    """Returns the content security policy of Streamlit's page.

    Args:
        hosts: the names of this server; some browsers do not count its websocket as its own.
            Addresses of version 6 are left out: browsers refuse them there.
        secure: whether people reach it through TLS.
    """
    sockets = " ".join(
        f"{'wss' if secure else 'ws'}://{host}" for host in sorted(hosts) if "[" not in host
    )
    scripts = " ".join(digest_of(text) for text in start_scripts())
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' {scripts}".strip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' data: blob:",
            f"connect-src 'self' {sockets}",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def digest_of(text: str) -> str:
    """Returns the source expression of an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
