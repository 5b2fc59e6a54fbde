"""Open alerts, where nobody can overlook them, and the forms by which people take note of them."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from compliance.governance.acts import ActRequest
from coordinator.views.alerts import Alert
from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.elements.pieces import show_lines
from dashboard.rows import words
from dashboard.rows.alerts import alert_label, alert_rows, alerts_caption
from dashboard.texts import say
from dashboard.viewer import Viewer


def show_run_alerts(alerts: Sequence[Alert]) -> None:
    """Shows every alert about one run, closed ones too; nothing where there were none."""
    if not alerts:
        return
    st.subheader(say("alerts.about_run"))
    show_lines(alert_rows(alerts))


def show_open_alerts(alerts: Sequence[Alert]) -> None:
    """Shows the alerts that are open, the gravest first; nothing where there are none."""
    if alerts:
        st.subheader(say("today.heading_alerts"), anchor=False)
        _show_whole(alerts)


def show_alert_notes(alerts: Sequence[Alert], viewer: Viewer) -> None:
    """Shows open alerts whole, the gravest first, and offers to take note of them.

    Args:
        alerts: the open ones; nothing is shown where there are none.
        viewer: who looks.
    """
    if not alerts:
        return
    fresh = [one for one in alerts if one.acknowledged_by is None]
    offered = OfferedAct(
        key="acknowledge",
        action="alert.acknowledge",
        button=say("alerts.button"),
        will=say("alerts.will"),
        command="collegium alerts acknowledge NUMBER --note TEXT --home FOLDER --as KEYFILE",
        about="\n".join(f"{alert_label(one)} {one.cause['text']}" for one in fresh),
    )
    with st.expander(say("alerts.heading", number=len(alerts), fresh=len(fresh))):
        _show_whole(alerts)
        if fresh:
            offer_act(viewer, offered, partial(_request, fresh))


def _show_whole(alerts: Sequence[Alert]) -> None:
    show_lines(alert_rows(alerts))
    st.caption(words.plain(alerts_caption(alerts)))


def _request(alerts: Sequence[Alert]) -> ActRequest:
    labels = {one.number: alert_label(one) for one in alerts}
    number = st.selectbox(say("alerts.which"), list(labels), format_func=lambda one: labels[one])
    note = st.text_area(say("acts.note"), max_chars=1000, help=say("acts.note_help"))
    return ActRequest(
        action="alert.acknowledge", subject_kind="alert", subject=str(number),
        details={"note": note.strip()},
    )  # fmt: skip
