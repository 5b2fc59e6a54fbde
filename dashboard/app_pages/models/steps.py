"""The steps of a version on the page, each a signed act: register, canary, promote, roll back."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from compliance.governance.acts import ActRequest
from compliance.governance.models.stages import Stage
from coordinator.views.several_runs.models import ModelLineView, ModelVersion
from dashboard.elements.acts import OfferedAct, offer_act
from dashboard.page import Page
from dashboard.rows.figures import model_register as rows
from dashboard.texts import say


def show_steps(page: Page, line: ModelLineView | None, free: Sequence[ModelVersion]) -> None:
    """Shows a form for each step that is possible now."""
    if free:
        with st.expander(say("models.register_step")):
            _offer(page, "register", None, partial(_registered, line, free), free)
    if line is None:
        return
    candidates = rows.of_stage(line, Stage.CANDIDATE)
    canary = rows.of_stage(line, Stage.CANARY)
    used = rows.of_stage(line, Stage.CANDIDATE, Stage.CANARY, Stage.PRODUCTION)
    if candidates and not canary:
        with st.expander(say("models.canary_step")):
            _offer(page, "canary", line, partial(_canary, line, candidates), candidates)
    if canary:
        with st.expander(say("models.promote_step")):
            _offer(page, "promote", line, partial(_of_version, line, "promote", canary), canary)
        with st.expander(say("models.end_canary_step")):
            ended = partial(_with_reason, line, "end-canary", canary)
            _offer(page, "end-canary", line, ended, canary)
    if line.line.state.before:
        with st.expander(say("models.roll_back_step")):
            current = rows.of_stage(line, Stage.PRODUCTION)
            back = partial(_with_reason, line, "roll-back", current)
            _offer(page, "roll-back", line, back, current)
    if used:
        with st.expander(say("models.retire_step")):
            _offer(page, "retire", line, partial(_with_reason, line, "retire", used), used)


def _offer(
    page: Page,
    step: str,
    line: ModelLineView | None,
    request: partial[ActRequest],
    versions: Sequence[ModelVersion],
) -> None:
    word = step.replace("-", "_")
    options = {"canary": " --site HOSPITAL", "register": ""}.get(step, "")
    reason = " --reason TEXT" if step in ("end-canary", "roll-back", "retire") else ""
    version = "" if step == "roll-back" else " SNAPSHOT"
    name = "NAME" if line is None else line.line.name
    offered = OfferedAct(
        key=f"{step} of a model",
        action=f"model.{step}",
        button=say(f"models.{word}_button"),
        will=say(f"models.{word}_will"),
        command=f"collegium models {step} {name}{version}{options}{reason} --out FOLDER "
        "--as KEYFILE",
        about="\n".join([name, *(f"{one.snapshot.digest} {one.stage}" for one in versions)]),
    )
    offer_act(page.viewer, offered, request)


def _chosen(key: str, versions: Sequence[ModelVersion]) -> str:
    labels = {one.snapshot.digest: rows.version_label(one) for one in versions}
    return st.selectbox(
        say("models.version"), list(labels), format_func=lambda one: labels[one], key=key
    )


def _registered(line: ModelLineView | None, free: Sequence[ModelVersion]) -> ActRequest:
    version = _chosen("to register", free)
    name = st.text_input(
        say("models.name"),
        value="" if line is None else line.line.name,
        max_chars=63,
        help=say("models.name_help"),
        key="name to register",
    )
    return ActRequest(
        action="model.register",
        subject_kind="model",
        subject=name.strip(),
        details={"version": version},
    )


def _canary(line: ModelLineView, candidates: Sequence[ModelVersion]) -> ActRequest:
    version = _chosen("to try", candidates)
    (one,) = (each for each in candidates if each.snapshot.digest == version)
    sites = st.multiselect(say("models.hospitals"), one.snapshot.sites, key="who tries")
    return _about(line, "canary", {"version": version, "sites": tuple(sorted(sites))})


def _of_version(line: ModelLineView, step: str, versions: Sequence[ModelVersion]) -> ActRequest:
    return _about(line, step, {"version": _chosen(f"version to {step}", versions)})


def _with_reason(line: ModelLineView, step: str, versions: Sequence[ModelVersion]) -> ActRequest:
    version = _chosen(f"version to {step}", versions)
    reason = st.text_area(
        say("models.why"), max_chars=2000, help=say("acts.note_help"), key=f"reason to {step}"
    )
    return _about(line, step, {"version": version, "reason": reason.strip()})


def _about(line: ModelLineView, step: str, details: dict[str, str | tuple[str, ...]]) -> ActRequest:
    return ActRequest(
        action=f"model.{step}", subject_kind="model", subject=line.line.name, details=details
    )
