"""The dashboard's server: who may ask for a page, websocket or download, and their sessions.

Rules:

1. Everything is refused that does not come with a session, but the paths of the login and
   ``/healthz``: pages, websockets, files, Streamlit's own paths.
2. A request must be for this server's name, and one that changes something must come from its own
   pages.
3. A session that ended, or a person who may look no longer, loses open websockets within seconds.
4. The page never sees the token of a session; it gets the ``Viewer``.
"""

from dashboard.server.application import DashboardServer, Settings
from dashboard.server.downloads import Download, MakesDownload
from dashboard.server.http.requests import Listening
from dashboard.server.oidc import OidcSettings, read_oidc_settings
from dashboard.server.sessions import SessionLimits
from dashboard.server.viewing import SignsPdf, script_timer, viewer_now

__all__ = [
    "DashboardServer",
    "Download",
    "Listening",
    "MakesDownload",
    "OidcSettings",
    "SessionLimits",
    "Settings",
    "SignsPdf",
    "read_oidc_settings",
    "script_timer",
    "viewer_now",
]
