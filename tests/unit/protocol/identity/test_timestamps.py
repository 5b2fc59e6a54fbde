"""Times that people type: one spelling of a day, any offset of a time, and nothing else."""

import pytest

from protocol.errors import PolicyRefused
from protocol.identity.timestamps import span_of


def test_a_day_is_all_of_it_and_a_time_with_an_offset_is_told_in_utc() -> None:
    assert span_of("2026-03-03") == ("2026-03-03T00:00:00.000Z", "2026-03-03T23:59:59.999Z")
    assert span_of("2026-03-03T01:00+02:00") == ("2026-03-02T23:00:00.000Z",) * 2


@pytest.mark.parametrize(
    "at",
    [
        "2025-W10-2", "2026W10T12", "2026-W10", "20260303", "2026-062", "2026-03-03T24:00",
        "2026-02-30", "0001-01-01T00:00+14:00", "9999-12-31T23:59-05:00", "",
    ],
)  # fmt: skip
def test_other_spellings_and_times_beyond_the_calendar_are_refused(at: str) -> None:
    with pytest.raises(PolicyRefused, match="a day or a time, such as 2026-03-03"):
        span_of(at)
