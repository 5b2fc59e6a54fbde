"""Reports of a run: what each of them counts and lacks, and the file in the format that is chosen.

The file is the one that ``collegium report export`` writes, byte for byte.
"""

from dataclasses import replace
from functools import partial

import streamlit as st

from compliance.facts.dossier import Dossier
from compliance.reports.document import Document, Tone, counts_of
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import DEFAULT_KIND, KINDS
from compliance.reports.renderers import FORMS, rendered
from dashboard.elements.choice import chosen_run
from dashboard.elements.kept import kept
from dashboard.elements.pieces import show_lines, show_metrics, show_statement
from dashboard.page import Page
from dashboard.reading.views import DashboardViews
from dashboard.rows import reports, words
from protocol.errors import WorkspaceRefused

_MIME = {"pdf": "application/pdf", "html": "text/html", "csv": "text/csv"}


def show(page: Page) -> None:
    """Shows the report that is chosen of those about a run."""
    views = page.views
    dossier = chosen_run(views)
    if dossier is None:
        return
    kind = st.selectbox(
        "Report",
        list(KINDS),
        index=list(KINDS).index(DEFAULT_KIND),
        format_func=lambda name: KINDS[name].text.title,
        key="report",
    )
    st.caption(words.plain(reports.kind_caption(KINDS[kind].text)))
    document = _document(views, dossier, kind)
    _show_counts(document)
    _show_file(views, dossier, document)


def _document(views: DashboardViews, dossier: Dossier, kind: str) -> Document:
    """Returns a report as ``report export`` makes it."""
    declarations, digest = views.declarations()

    def made() -> Document:
        facts = replace(views.subject("run", dossier.run_id), verification=dossier.verification)
        subject = ReportSubject(facts=facts, declarations=declarations, digest=digest)
        return KINDS[kind].make(subject)

    return kept("report document", (dossier, kind, digest), made)


def _show_counts(document: Document) -> None:
    counts = counts_of(document)
    show_metrics(
        [
            ("Evidenced", str(counts.evidenced), "entries of the signed log show it"),
            ("Declared", str(counts.declared), "a named person, or the authors, say so"),
            ("Missing", str(counts.missing), "neither: what to do stands below"),
        ]
    )
    for statement in document.banner:
        # That the records are not what was logged stands above already.
        if statement.tone is Tone.BAD and statement not in document.watermarks:
            show_statement(statement)
    if missing := reports.missing_rows(document):
        st.subheader("What is missing")
        show_lines(missing)


def _show_file(views: DashboardViews, dossier: Dossier, document: Document) -> None:
    st.subheader("The file")
    chosen = st.segmented_control(
        "Format", FORMS, default=FORMS[0], format_func=str.upper, label_visibility="collapsed"
    )
    form = chosen or FORMS[0]
    name = reports.report_file(dossier.run_id, document.kind, form)
    command = reports.export_command(dossier.run_id, document.kind, form, name)
    if views.governance().governed:
        st.info(words.plain(reports.EXPORT_IS_AN_ACT), icon=":material/badge:")
        st.code(f"{command} --as KEY", language=None, wrap_lines=True)
        return
    try:
        data = kept("report file", (document, form), partial(rendered, document, form))
    except WorkspaceRefused as error:
        st.warning(words.plain(str(error)), icon=":material/info:")
        return
    st.download_button(
        f"Download as {form.upper()}",
        data=data,
        file_name=name,
        mime=_MIME.get(form, "application/json"),
        on_click="ignore",
    )
    st.caption(f"The same file, byte for byte: {words.plain(command)}")
