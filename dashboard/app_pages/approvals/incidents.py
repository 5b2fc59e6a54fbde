"""Incidents and drills: opened, contained, confirmed, notified and closed, with the clock."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import streamlit as st

from compliance.governance.acts import ActRequest
from compliance.governance.incidents.course import SEVERITIES, IncidentState
from compliance.governance.incidents.playbooks import PLAYBOOKS
from compliance.storage.clock import utc_now
from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import GovernanceView
from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.elements.pieces import show_lines
from dashboard.page import Page
from dashboard.rows import audit
from dashboard.rows.consortium import approvals, matters
from dashboard.rows.words import plain
from dashboard.texts import say
from protocol.identity.timestamps import write_time

#: Draws the fields of a step of an incident and returns what is asked for.
_Request: TypeAlias = Callable[[NumberedIncident, str], ActRequest]
_COMMAND = "collegium incident {step} {number} --home FOLDER --as KEYFILE"


def show_incidents(page: Page, seen: GovernanceView) -> None:
    """Shows the incidents that are not closed, the most urgent first; then a form for a new one."""
    found = [one for one in seen.incidents if one.incident.state is not IncidentState.CLOSED]
    now = utc_now()
    st.subheader(say("approvals.incidents"), anchor=False)
    if audit.is_late(found, now):
        st.error(
            plain(say("approvals.late")),
            icon=":material/alarm:",
        )
    if not found:
        st.info(say("approvals.no_incident"), icon=":material/info:")
    else:
        show_lines(audit.incident_rows(found, now))
    for one in sorted(found, key=lambda each: (each.incident.is_told, each.incident.due_at)):
        with st.expander(plain(approvals.incident_title(one))):
            _show_incident(page, seen, one)
    closed = [one for one in seen.incidents if one.incident.state is IncidentState.CLOSED]
    if closed:
        with st.expander(say("approvals.closed_incidents", number=len(closed))):
            show_lines(approvals.closed_rows(closed))
    with st.expander(say("approvals.open_incident")):
        _show_opening(page, seen)


def _show_incident(page: Page, seen: GovernanceView, one: NumberedIncident) -> None:
    incident = one.incident
    show_lines(approvals.step_rows(incident.steps))
    st.markdown(f"**{plain(PLAYBOOKS[incident.kind].title.capitalize())}**")
    show_lines(approvals.playbook_rows(PLAYBOOKS[incident.kind]))
    me = matters.person_in(seen, page.viewer.name)
    if incident.unconfirmed:
        own = me is not None and not matters.may_confirm_containment(one, me)
        if own:
            st.caption(plain(say("approvals.own_containment")))
        else:
            _offer(page, one, "confirm", _confirmed)
    if incident.state is IncidentState.OPEN:
        _offer(page, one, "contain", partial(_contained, page, seen))
    elif not incident.is_told:
        _offer(page, one, "notify", _notified)
    elif not incident.unconfirmed:
        _offer(page, one, "close", _closed)
    if incident.state is not IncidentState.OPEN:
        _offer(page, one, "contain", partial(_contained, page, seen))


def _offer(page: Page, one: NumberedIncident, step: str, request: _Request) -> None:
    offered = OfferedAct(
        key=f"{step} {one.number}",
        action=f"incident.{step}",
        button=say(f"approvals.{step}_button"),
        will=say(f"approvals.{step}_will"),
        command=_COMMAND.format(step=step, number=one.number),
        about=str(one.incident),
    )
    offer_act(page.viewer, offered, partial(request, one, step))


def _confirmed(one: NumberedIncident, step: str) -> ActRequest:
    return _step(one, step, steps=len(one.incident.steps))


def _contained(page: Page, seen: GovernanceView, one: NumberedIncident, step: str) -> ActRequest:
    key = f"{step} {one.number}"
    at_work = [run.run_id for run in page.views.runs() if run.state == "running"]
    members = [site.site for site in page.views.sites() if site.state in ("enrolled", "invited")]
    people = [person.name for person in seen.people if person.suspended is None]
    chosen = {
        kind: st.multiselect(
            say(f"approvals.measure_{name}"), options, key=f"{key} {kind}",
            placeholder=say("approvals.none_chosen"),
        )
        for kind, name, options in (
            ("pause", "pause", at_work), ("stop", "stop", at_work),
            ("revoke", "revoke", members), ("suspend", "suspend", people),
        )
    }  # fmt: skip
    details = {kind: tuple(names) for kind, names in chosen.items() if names}
    return _step(one, step, note=_note(key), **details)


def _notified(one: NumberedIncident, step: str) -> ActRequest:
    key = f"{step} {one.number}"
    to = st.text_input(say("approvals.told"), help=say("approvals.told_help"), key=f"{key} to")
    return _step(one, step, to=to.strip(), note=_note(key))


def _closed(one: NumberedIncident, step: str) -> ActRequest:
    return _step(one, step, note=_note(f"{step} {one.number}"))


def _note(key: str) -> str:
    note: str = st.text_area(
        say("acts.note"), max_chars=2000, help=say("acts.note_help"), key=f"{key} note"
    )
    return note.strip()


def _step(one: NumberedIncident, step: str, **details: str | int | tuple[str, ...]) -> ActRequest:
    return ActRequest(
        action=f"incident.{step}", subject_kind="incident", subject=str(one.number),
        details=details,
    )  # fmt: skip


def _show_opening(page: Page, seen: GovernanceView) -> None:
    offered = OfferedAct(
        key="open incident",
        action="incident.open",
        button=say("approvals.open_button"),
        will=say("approvals.open_will", hours=seen.policy.notify_hours),
        command="collegium incident open TITLE --kind KIND --severity high --home FOLDER --as "
        "KEYFILE",
    )
    offer_act(page.viewer, offered, _opened)


def _opened() -> ActRequest:
    title = st.text_input(
        say("approvals.title"), max_chars=200, help=say("acts.note_help"), key="incident title"
    )
    kind = st.selectbox(
        say("approvals.kind"), list(PLAYBOOKS), format_func=lambda name: PLAYBOOKS[name].title,
        key="incident kind",
    )  # fmt: skip
    severity = st.selectbox(say("approvals.severity"), SEVERITIES, index=2, key="incident severity")
    known = st.datetime_input(
        say("approvals.known"), value=None, help=say("approvals.known_help"), key="incident known"
    )
    drill = st.checkbox(say("approvals.as_drill"), key="incident drill")
    details: dict[str, str | bool] = {"kind": kind, "severity": severity, "drill": drill}
    if known is not None:
        details["known"] = write_time(approvals.as_utc(known))
    return ActRequest(
        action="incident.open", subject_kind="incident", subject=title.strip(), details=details
    )
