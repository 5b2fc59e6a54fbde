"""Contexts for tests: a valid one for any number of sites, with single fields changed."""

from typing import Any

from protocol.secagg.context import RoundContext


def site_names(count: int) -> tuple[str, ...]:
    """Returns sorted names of hospitals."""
    return tuple(f"site-{number:02d}" for number in range(count))


def context_of(count: int, **changes: Any) -> RoundContext:
    """Returns a valid context of ``count`` sites with default threshold, some fields changed."""
    fields: dict[str, Any] = {
        "study_digest": "1" * 64,
        "run_id": "20260101-000000-abcd",
        "round_kind": "training",
        "round": 0,
        "attempt": 0,
        "draw": 0,
        "log_size": 7,
        "log_root": "2" * 64,
        "roster_digest": "3" * 64,
        "participants": site_names(count),
        "threshold": 2 * count // 3 + 1,
        "colluders": 1,
        "model_hash": "4" * 64,
        "layout_hash": "5" * 64,
        "dim": 5,
        "ring_bits": 32,
        "frac_bits": 20,
        "bound": "16.0",
        "weights_hash": "6" * 64,
        "dp_event_hash": "7" * 64,
    }
    return RoundContext(**(fields | changes))
