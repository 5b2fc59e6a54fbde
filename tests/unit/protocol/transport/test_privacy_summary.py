"""A hospital's signed word: nobody else's, and nothing else in it."""

import base64
from dataclasses import asdict, replace

import pytest

from protocol.encoding import canonical
from protocol.errors import MessageRefused
from protocol.identity.roster import SigningKey
from protocol.transport.privacy_summary import (
    MAX_APPROVALS,
    NamedApproval,
    SignedSummary,
    Summary,
    open_summary,
    sign_summary,
)

KEY = SigningKey.from_bytes(bytes(32))
SUMMARY = Summary(
    site="east", run_id="run-1", study_digest="0" * 64, unit="patient", patient="key",
    sides="together", mode="per_site",
    noise="exact", epsilon=1.0, delta=1e-5, epsilon_two_hospitals=2.3, evaluation_epsilon=1.0,
    epsilon_group_of_two=2.4, epsilon_group_of_three=4.0, priced_steps=40, priced_evaluations=1,
    noise_multiplier=4.2, evaluation_noise_multiplier=3.7, sampling_rate=0.5, steps=40, clip=1.0,
    budget_epsilon=10.0, budget_share=0.31, run_share=0.12, ledger_head="0" * 64,
    log_size=7, log_root="0" * 64,
    fallback_epsilon=None, engine="chain", torch="2.13.0", opacus="1.6.0", engine_distance=2e-7,
    opacus_distance=1e-7, opacus_epsilon=1.1,
)  # fmt: skip


def test_a_signed_summary_is_read_back() -> None:
    assert open_summary(sign_summary(SUMMARY, KEY), KEY.public) == SUMMARY


def test_another_hospitals_signature_is_refused() -> None:
    signed = sign_summary(SUMMARY, SigningKey.generate())
    with pytest.raises(MessageRefused, match="signature"):
        open_summary(signed, KEY.public)


def test_a_changed_promise_is_refused() -> None:
    signed = sign_summary(SUMMARY, KEY)
    cheaper = SignedSummary(
        data=signed.data.replace(b'"epsilon":1', b'"epsilon":0'), signature=signed.signature
    )
    with pytest.raises(MessageRefused, match="signature"):
        open_summary(cheaper, KEY.public)


@pytest.mark.parametrize("change", [{"patients": 300}, {"site": None}])
def test_a_summary_with_other_fields_is_refused(change: dict[str, object]) -> None:
    fields = {k: v for k, v in (asdict(SUMMARY) | change).items() if change.get(k, 0) is not None}
    data = canonical(fields)
    with pytest.raises(MessageRefused, match="other fields"):
        open_summary(SignedSummary(data=data, signature=KEY.sign("summary", data)), KEY.public)


ADA = NamedApproval(name="Dr. Zoë Müller", on="2026-11-02")


def refused_approvals(given: object) -> None:
    data = canonical(asdict(SUMMARY) | {"approvals": given})  # type: ignore[dict-item]
    with pytest.raises(MessageRefused, match="approver"):
        open_summary(SignedSummary(data=data, signature=KEY.sign("summary", data)), KEY.public)


def test_people_who_approved_are_read_back_and_nobody_is_no_field_at_all() -> None:
    named = replace(SUMMARY, approvals=(ADA, NamedApproval(name="B", on="2024-02-29")))
    assert open_summary(sign_summary(named, KEY), KEY.public) == named
    assert b"approvals" not in sign_summary(SUMMARY, KEY).data


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": " x"}, {"name": "x" * 201}, {"name": "x\u202ey"}, {"name": "x\ny"},
        {"name": 7}, {"on": "2026-02-30"}, {"on": "20261102"}, {"on": "2026-11-02T10:00"},
        {"on": None}, {"role": "head"},
    ],
)  # fmt: skip
def test_an_approver_without_a_name_that_can_be_read_or_without_a_day_is_refused(
    change: dict[str, object],
) -> None:
    refused_approvals([asdict(ADA) | change])


@pytest.mark.parametrize(
    "given",
    [
        [], None, "Dr. Ada Moss", ["Dr. Ada Moss"], [{"name": "x"}], [asdict(ADA)] * 2,
        [{"name": f"x{i}", "on": "2026-11-02"} for i in range(MAX_APPROVALS + 1)],
    ],
)  # fmt: skip
def test_approvers_are_one_to_ten_people_each_once(given: object) -> None:
    refused_approvals(given)


def test_the_longest_names_fit_into_the_message_that_carries_them() -> None:
    letter, most = "\U0001f600", MAX_APPROVALS
    approvals = tuple(NamedApproval(name=letter * 198 + f"{i:02}", on=ADA.on) for i in range(most))
    signed = sign_summary(replace(SUMMARY, approvals=approvals), KEY)
    assert open_summary(signed, KEY.public).approvals == approvals
    assert len(canonical({"summary": base64.b64encode(signed.data).decode()})) < 1 << 14
