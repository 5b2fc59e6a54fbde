"""Reports: what each counts and lacks, a preview, and the file in the format that is chosen.

The file is the one that ``collegium report export`` writes, byte for byte.
"""

from dataclasses import replace
from functools import partial

import streamlit as st

from compliance.reports.document import Document, Tone, counts_of
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import DEFAULT_KIND, KINDS
from compliance.reports.renderers import FORMS, render_html, rendered
from coordinator.views.opened.version import KeptVerification
from coordinator.views.subjects import SCOPES
from dashboard.app_pages.reports.files import ChosenReport, show_file
from dashboard.app_pages.reports.preview import show_preview
from dashboard.elements.acts import show_what_came_of_it
from dashboard.elements.kept import kept
from dashboard.elements.matters import show_link
from dashboard.elements.pieces import show_lines, show_metrics, show_statement
from dashboard.page import Page
from dashboard.rows import reports, words
from dashboard.texts import say
from protocol.errors import WorkspaceRefused


def show(page: Page) -> None:
    """Shows the report that is chosen: its counts, what is missing, a preview, and the file."""
    show_what_came_of_it(page.views, page.viewer)
    chosen = _chosen(page)
    if chosen is None:
        return
    scope, name, kind = chosen
    size = page.views.log_size()
    verified = page.views.verified()
    if verified is None or verified.size != size:
        st.info(words.plain(say("reports.takes_long", size=f"{size:,}")), icon=":material/info:")
        show_link("audit", say("navigation.audit"))
        st.code(reports.export_command(scope, name, kind, "pdf", "FILE"), language=None)
        return
    document = _document(page, scope, name, kind, verified)
    _show_counts(document)
    form = (
        st.segmented_control(
            say("reports.format"), FORMS, default=FORMS[0], format_func=str.upper, key="form"
        )
        or FORMS[0]
    )
    try:
        data = kept("report file", (document, form), partial(rendered, document, form))
    except WorkspaceRefused as error:
        st.warning(words.plain(str(error)), icon=":material/info:")
        data = None
    if data is not None:
        file = ChosenReport(scope=scope, subject=name, kind=kind, form=form, data=data)
        show_file(page, file)
    show_preview(document.title, kept("report page", document, partial(render_html, document)))


def _chosen(page: Page) -> tuple[str, str, str] | None:
    """Returns scope, name and kind of the report that is chosen; None where there is no run."""
    runs = page.views.runs()
    if not runs:
        st.info(say("runs.none"), icon=":material/info:")
        return None
    about, which, what = st.columns(3)
    scope = about.selectbox(
        say("reports.about"), SCOPES, format_func=lambda one: say(f"reports.of_{one}"), key="scope"
    )
    sites = [one.site for one in page.views.sites() if one.runs] if scope == "hospital" else []
    names = reports.subjects(scope, runs, sites)
    if not names:
        st.info(say("reports.nothing_of_it"), icon=":material/info:")
        return None
    labels = {run.run_id: f"{run.run_id} · {run.study_name} · {run.state}" for run in runs}
    name = which.selectbox(
        say("reports.which"), names, format_func=lambda one: labels.get(one, one),
        key=f"report of {scope}",
    )  # fmt: skip
    kind = what.selectbox(
        say("reports.kind"), list(KINDS), index=list(KINDS).index(DEFAULT_KIND),
        format_func=lambda one: KINDS[one].text.title, key="report",
    )  # fmt: skip
    st.caption(words.plain(reports.kind_caption(KINDS[kind].text)))
    return scope, name, kind


def _document(page: Page, scope: str, name: str, kind: str, verified: KeptVerification) -> Document:
    """Returns a report as ``report export`` makes it: after verifying, of what is there now."""
    views = page.views
    declarations, digest = views.declarations()

    def made() -> Document:
        facts = replace(views.subject(scope, name), verification=verified.result)
        subject = ReportSubject(facts=facts, declarations=declarations, digest=digest)
        return KINDS[kind].make(subject)

    runs = tuple((run.run_id, run.state) for run in views.runs())
    return kept("report document", (scope, name, kind, digest, verified, runs), made)


def _show_counts(document: Document) -> None:
    counts = counts_of(document)
    show_metrics(
        [
            (say("reports.evidenced"), str(counts.evidenced), say("reports.evidenced_note")),
            (say("reports.declared"), str(counts.declared), say("reports.declared_note")),
            (say("reports.missing"), str(counts.missing), say("reports.missing_note")),
        ]
    )
    for statement in document.banner:
        if statement.tone is Tone.BAD:
            show_statement(statement)
    if missing := reports.missing_rows(document):
        with st.expander(say("reports.what_is_missing"), expanded=len(missing) <= 3):
            show_lines(missing)
