"""A request for a report: its kind, its subject, its folder; and the document that it asks for."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from compliance.reports.basis import ReportRecipe
from compliance.reports.declarations import declarations_of
from compliance.reports.document import Document
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import DEFAULT_KIND, KINDS
from coordinator.views.subjects import SCOPES
from coordinator.views.views import open_views
from protocol.errors import WorkspaceRefused

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
    found, digest = declarations_of(out, asked.declarations)
    with closing(open_views(out)) as views:
        facts = views.subject(asked.scope, asked.name, asked.until)
        facts = replace(facts, verification=views.verification(public))
    subject = ReportSubject(facts=facts, declarations=found, digest=digest)
    return KINDS[asked.kind].make(subject)
