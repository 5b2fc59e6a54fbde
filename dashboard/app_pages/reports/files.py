"""A report's file: exported and signed by whoever is signed in, each as an act before the bytes."""

from dataclasses import dataclass

import streamlit as st

from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.page import Page
from dashboard.rows import reports, words
from dashboard.texts import say
from dashboard.viewer import Viewer
from protocol.encoding import digest
from protocol.errors import FederationError

_MIME = {"pdf": "application/pdf", "html": "text/html", "csv": "text/csv"}
#: Digests of files whose export was logged in this session, and files that were signed in it.
_EXPORTED, _SIGNED = "exported reports", "signed reports"


@dataclass(frozen=True, kw_only=True)
class ChosenReport:
    """A report as it was chosen, with its bytes."""

    scope: str
    subject: str
    kind: str
    form: str
    data: bytes

    @property
    def name(self) -> str:
        """The name of its file."""
        return reports.report_file(self.subject, self.kind, self.form)

    @property
    def command(self) -> str:
        """The command that writes the same file."""
        return reports.export_command(self.scope, self.subject, self.kind, self.form, self.name)


def show_file(page: Page, file: ChosenReport) -> None:
    """Offers a report's file: at once where nobody is registered, else after the act."""
    st.subheader(say("reports.file"), anchor=False)
    viewer = page.viewer
    if viewer.signs:
        _show_export(viewer, file)
        if file.form == "pdf":
            _show_signing(viewer, file)
        else:
            st.caption(words.plain(say("reports.only_pdf")))
        return
    if page.views.is_governed():
        st.info(words.plain(reports.EXPORT_IS_AN_ACT), icon=":material/badge:")
        st.code(f"{file.command} --as KEY", language=None, wrap_lines=True)
        return
    _offer(file, file.data, file.name)
    st.caption(words.plain(say("reports.same_file", command=file.command)))


def _show_export(viewer: Viewer, file: ChosenReport) -> None:
    sha256 = digest(file.data)
    if sha256 in st.session_state.get(_EXPORTED, ()):
        _offer(file, file.data, file.name)
        st.caption(words.plain(say("reports.exported", sha256=sha256)))
        return
    if not viewer.may("report.export"):
        st.caption(words.plain(say("reports.may_not")))
        return
    st.caption(words.plain(say("reports.export_will")))
    if st.button(say("reports.export", form=file.form.upper()), icon=":material/download:"):
        request = reports.report_act(
            "report.export", file.scope, file.subject, file.kind, file.form, file.data
        )
        try:
            viewer.perform(request)
        except FederationError as error:
            st.error(words.plain(str(error)), icon=":material/block:")
            return
        st.session_state[_EXPORTED] = {*st.session_state.get(_EXPORTED, ()), sha256}
        st.rerun()


def _show_signing(viewer: Viewer, file: ChosenReport) -> None:
    sha256 = digest(file.data)
    signed: dict[str, bytes] = st.session_state.get(_SIGNED, {})
    if sha256 in signed:
        st.success(say("reports.signed", name=words.plain(viewer.name)), icon=":material/draw:")
        _offer(file, signed[sha256], file.name.replace(".pdf", "-signed.pdf"))
        st.caption(words.plain(say("reports.verify_signed")))
        return
    offered = OfferedAct(
        key="sign report",
        action="report.sign",
        button=say("reports.sign"),
        will=say("reports.sign_will", name=viewer.name, sha256=sha256),
        command="",
        about=sha256,
    )
    with st.expander(say("reports.sign_heading"), icon=":material/draw:"):
        offer_act(
            viewer,
            offered,
            lambda: reports.report_act(
                "report.sign", file.scope, file.subject, file.kind, file.form, file.data
            ),
            done=lambda: _sign(viewer, file, sha256),
        )


def _sign(viewer: Viewer, file: ChosenReport, sha256: str) -> None:
    """Signs a report, once the act that says so is in the log."""
    made = viewer.sign_report(file.data)
    st.session_state[_SIGNED] = {sha256: made}


def _offer(file: ChosenReport, data: bytes, name: str) -> None:
    st.download_button(
        say("reports.download", name=words.plain(name)),
        data=data,
        file_name=name,
        mime=_MIME.get(file.form, "application/json"),
        on_click="ignore",
    )
