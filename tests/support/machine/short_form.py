"""The short form of a test with many cases: some in ``make test``, the others in ``make long``."""

from collections.abc import Iterable
from typing import Any

import pytest


def short_form(cases: Iterable[Any], every: int) -> list[Any]:
    """Returns the cases as parameters: the first and every ``every``-th after it, others long.

    A case that is a tuple is several parameters.

    >>> [bool(case.marks) for case in short_form("abcde", 2)]
    [False, True, False, True, False]
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if place % every == 0 else pytest.mark.long,
        )
        for place, case in enumerate(cases)
    ]
