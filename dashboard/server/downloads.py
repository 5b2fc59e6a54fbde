"""Downloads: checked, written down as the person's act, then streamed.

Which files there are, and how each is made, is given by the command that starts the server.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote

from starlette.responses import StreamingResponse

from compliance.governance.acts import ActRequest, Details
from dashboard.viewer import Viewer

#: The act as which a download is written down.
EXPORT = "report.export"


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file for a person: its name, its media type, its bytes, and what is written down of it.

    ``kind`` and ``subject`` say what the act is about (``report``, and its name), ``details`` the
    rest: names, numbers and digests.
    """

    name: str
    media_type: str
    parts: Iterable[bytes]
    kind: str
    subject: str
    details: Details = field(default_factory=dict)

    @property
    def act(self) -> ActRequest:
        """The act that is written down before the first byte leaves."""
        return ActRequest(
            action=EXPORT, subject_kind=self.kind, subject=self.subject, details=self.details
        )

    def response(self) -> StreamingResponse:
        """Returns the answer that a browser saves as a file, and never shows."""
        named = f"attachment; filename*=UTF-8''{quote(self.name, safe='')}"
        return StreamingResponse(
            self.parts, media_type=self.media_type, headers={"content-disposition": named}
        )


#: Makes the file of a path below ``/download/``, with what stands in the query, for a viewer.
#: Raises ``FederationError`` where there is none.
MakesDownload: TypeAlias = Callable[[str, Mapping[str, str], Viewer], Download]
