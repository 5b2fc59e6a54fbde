"""A request for a report: its kind, its subject, its folder; and the document that it asks for."""

import hashlib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from compliance.reports.basis import ReportRecipe
from compliance.reports.declarations import Declarations, read_declarations
from compliance.reports.document import Document
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import DEFAULT_KIND, KINDS
from compliance.storage.atomic_file import read_named
from coordinator.views.subjects import SCOPES
from coordinator.views.views import open_views
from protocol.errors import WorkspaceRefused

#: The name of a consortium's declarations where they lie in the folder of its runs.
CONSORTIUM_FILE = "consortium.yaml"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """A kind of report about a run, study, sweep, hospital or period of a folder.

    ``declarations`` is the consortium's file; None takes the one in the folder, if there is one.
    ``until`` leaves out what was logged from this entry on.
    """

    name: str
    scope: str = "run"
    kind: str = DEFAULT_KIND
    declarations: Path | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise WorkspaceRefused(
                f"there is no report {self.kind!r}: {', '.join(KINDS)}; collegium report list says "
                "what each is for"
            )
        if self.scope not in SCOPES:
            raise WorkspaceRefused(f"a report is about a {', '.join(SCOPES)}, not {self.scope!r}")

    @classmethod
    def again(cls, recipe: ReportRecipe, declarations: Path | None) -> "ReportRequest":
        """Returns the request by which a report was made."""
        return cls(
            name=recipe.name,
            scope=recipe.scope,
            kind=recipe.kind,
            declarations=declarations,
            until=None if recipe.scope == "run" else recipe.until,
        )


def report_document(out: Path, asked: ReportRequest, *, public: bytes | None = None) -> Document:
    """Returns the report that is asked for, made after verifying the folder.

    Args:
        out: the folder.
        asked: the request.
        public: the log's key that is trusted; the folder's own when None.

    Raises:
        WorkspaceRefused: there is nothing of this name, or the declarations are wrong.
        StoreBroken: what is stored about it cannot be read.
    """
    found, digest = declared(out, asked.declarations)
    with closing(open_views(out)) as views:
        facts = views.subject(asked.scope, asked.name, asked.until)
        facts = replace(facts, verification=views.verification(public))
    subject = ReportSubject(facts=facts, declarations=found, digest=digest)
    return KINDS[asked.kind].make(subject)


def declared(out: Path, given: Path | None) -> tuple[Declarations | None, str]:
    """Returns the declarations, and the digest of their file; nothing where there is none.

    Args:
        out: the folder of runs.
        given: the file; the one in the folder, if there is one, when None.

    Raises:
        WorkspaceRefused: it cannot be read, or a declaration is wrong.
    """
    path = out / CONSORTIUM_FILE if given is None else given
    if given is None and not path.exists():
        return None, ""
    data = read_named(path, "--declarations", _MAX_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WorkspaceRefused(f"{path}: it is not UTF-8 text") from error
    return read_declarations(text, str(path)), hashlib.sha256(data).hexdigest()
