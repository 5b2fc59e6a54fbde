"""The pages of the login: plain forms, no script, light and dark, in the browser's language."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from compliance.governance.access.one_time_codes import DIGITS
from compliance.governance.access.passwords import MAX_LETTERS
from dashboard.texts import language, say, speak

#: The paths of the login by OpenID Connect.
BEGIN, CALLBACK = "/login/oidc", "/login/oidc/callback"

#: Whose texts these pages say, of the table ``login`` of texts, about what came before.
TOLD = frozenset(
    {
        "idle", "too-old", "no-right", "another-login", "account-changed", "logged-out", "stopped",
        "waits", "busy", "unavailable", "identity-away", "identity-over", "refused",
    }
)  # fmt: skip

STYLE = """
:root { color-scheme: light dark; --ink: #1f2a33; --paper: #ffffff; --edge: #5b6872;
  --main: #005a8f; --on-main: #ffffff; --warn: #9b1c1c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8edf1; --paper: #14191e; --edge: #8b99a5; --main: #7cc4f0; --on-main: #0b1620;
    --warn: #ffb4b4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 12vh auto 0; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; letter-spacing: 0.08em; text-transform: uppercase; color: var(--main); }
label { display: block; margin: 1.1rem 0 0.3rem; font-weight: 600; }
input { width: 100%; padding: 0.65rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--edge); border-radius: 0.3rem; }
button { margin-top: 1.5rem; padding: 0.7rem 1.4rem; font: inherit; font-weight: 600; border: 0;
  border-radius: 0.3rem; color: var(--on-main); background: var(--main); cursor: pointer; }
input:focus-visible, button:focus-visible, a:focus-visible {
  outline: 3px solid var(--main); outline-offset: 2px; }
a { color: var(--main); }
.hint { margin: 0.3rem 0 0; font-size: 0.9375rem; }
.told { border-left: 4px solid var(--warn); padding-left: 0.8rem; }
"""


@dataclass(frozen=True, kw_only=True)
class LoginOffer:
    """A login at a provider that the page offers beside the form, under the provider's name."""

    name: str

    def html(self, then: str) -> str:
        """Returns the link that begins it."""
        said = escape(say("login.identity", name=self.name))
        address = escape(f"{BEGIN}?then={quote(then, safe='/')}")
        return (
            f'<p><a href="{address}" aria-describedby="identity-hint">{said}</a></p>'
            f'<p class="hint" id="identity-hint">{say("login.identity-hint")}</p>'
        )


def speak_to(accepted: str | None) -> None:
    """Chooses the language of these pages: the first that a browser names (``Accept-Language``)."""
    speak((accepted or "").split(",")[0].split(";")[0].strip())


def login_page(
    *, told: str = "", name: str = "", then: str = "/", offer: LoginOffer | None = None
) -> str:
    """Returns the page with the form of the login.

    Args:
        told: one of ``TOLD``, or a sentence, about what came before.
        name: what was typed as the name.
        then: the path that is opened afterwards.
        offer: a login at a provider; None where there is none.
    """
    said = say(f"login.{told}") if told in TOLD else told
    note = f'<p class="told" role="alert" id="told">{escape(said)}</p>' if said else ""
    described = ' aria-describedby="told"' if said else ""
    return _page(
        f"""{note}
<form method="post" action="/login"{described}>
<input type="hidden" name="then" value="{escape(then)}">
<label for="name">{say("login.name")}</label>
<input id="name" name="name" autocomplete="username" required maxlength="100"
 value="{escape(name)}"{"" if name else " autofocus"}>
<label for="password">{say("login.password")}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
 maxlength="{MAX_LETTERS}"{" autofocus" if name else ""}>
<label for="code">{say("login.code")}</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required
 maxlength="{DIGITS + 2}" aria-describedby="code-hint">
<p class="hint" id="code-hint">{say("login.code-hint")}</p>
<button type="submit">{say("login.log-in")}</button>
</form>
{"" if offer is None else offer.html(then)}
<p class="hint">{say("login.no-account")}</p>""",
        say("login.log-in"),
    )


def logout_page() -> str:
    """Returns the page with the button that ends the session."""
    return _page(
        f"""<p>{say("login.log-out-question")}</p>
<form method="post" action="/logout">
<button type="submit">{say("login.log-out")}</button>
</form>
<p><a href="/">{say("login.back")}</a></p>""",
        say("login.log-out"),
    )


def onward_page(to: str) -> str:
    """Returns a page that opens a path of this server at once: then the browser brings its cookie.

    A browser that comes by a link of another site brings no strict cookie; from this page it does.
    """
    path = escape(to)
    return _page(
        f'<p><a href="{path}">{say("login.continue")}</a></p>',
        "Collegium",
        f'<meta http-equiv="refresh" content="0;url={path}">',
    )


def own_path(said: Mapping[str, str], name: str = "then") -> str:
    """Returns the path of this server that a form or query names; the start where it names none.

    >>> own_path({"then": "/runs?run=1"}), own_path({"then": "//evil.example"}), own_path({})
    ('/runs?run=1', '/', '/')
    """
    path = said.get(name, "/")
    is_own = path.startswith("/") and not path.startswith(("//", "/\\", "/login", "/logout"))
    return path if is_own and path.isprintable() and "\\" not in path else "/"


def _page(body: str, heading: str, head: str = "") -> str:
    return f"""<!doctype html>
<html lang="{language()}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading} · Collegium</title>{head}<style>{STYLE}</style></head>
<body><main><h1>Collegium</h1><h2>{heading}</h2>{body}</main></body></html>"""
