"""What workers on a cluster answer, and what it means where they do not."""

from typing import Any

import pytest

from protocol.errors import DeviceRefused, StudyRefused
from silos.training.worker_pool import placement
from silos.training.worker_pool.placement import results_of

exceptions = placement.ray.exceptions


def answer(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    """Lets Ray answer so: returned, or raised where it is an error."""

    def get(_references: Any, *, timeout: float) -> Any:
        assert timeout == placement.WORKER_TIMEOUT
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(placement.ray, "get", get)


def test_workers_answers_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, ["one", "two"])
    assert results_of([object(), object()]) == ["one", "two"]


def test_a_workers_refusal_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(
        monkeypatch, exceptions.RayTaskError("begin", "Traceback ...", StudyRefused("no engine"))
    )
    with pytest.raises(StudyRefused, match="^no engine$"):
        results_of([object()])


def test_a_worker_that_is_lost_is_told_from_one_that_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer(monkeypatch, exceptions.WorkerCrashedError())
    with pytest.raises(DeviceRefused, match=r"was lost before it began \(WorkerCrashedError\)"):
        results_of([object()])
    answer(monkeypatch, exceptions.GetTimeoutError("0 of 1 ready"))
    with pytest.raises(DeviceRefused, match="did not answer within 600 seconds"):
        results_of([object()])


def test_another_error_of_a_workers_is_named_by_its_class_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer(monkeypatch, exceptions.RayTaskError("begin", "Traceback ...", ValueError("63 years")))
    with pytest.raises(DeviceRefused, match=r"before it began \(RayTaskError\)") as told:
        results_of([object()])
    assert "63" not in str(told.value)
