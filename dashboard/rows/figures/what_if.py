"""Costs and gains of another epsilon, beside what the study has now."""

import math
from collections.abc import Mapping

from compliance.facts.formatting import Format, show
from compliance.planning.expected_auroc import Expected
from compliance.planning.what_if import WhatIf
from compliance.privacy.rounding import percent
from dashboard.texts import say

#: What is shown where nothing is known.
NOTHING = "—"


def figure_rows(own: WhatIf, asked: WhatIf) -> list[dict[str, str]]:
    """Returns what the training and its evaluation would come to, a row for each quantity."""
    rows = {
        say("what_if.epsilon"): (_epsilon(own), _epsilon(asked)),
        say("what_if.noise"): (_noise(own), _noise(asked)),
        say("what_if.noise_felt"): (_felt(own), _felt(asked)),
        say("what_if.auroc"): (_expected(own), _expected(asked)),
        say("what_if.evaluation"): (_evaluated(own), _evaluated(asked)),
    }
    titles = say("what_if.quantity"), _now(own), _then(asked)
    return [dict(zip(titles, (name, *cells), strict=True)) for name, cells in rows.items()]


def share_rows(
    own: WhatIf, asked: WhatIf, booked: Mapping[str, float | None]
) -> list[dict[str, str]]:
    """Returns the share of each hospital's budget, and how many runs would fit into the rest.

    Args:
        own: the study as it is.
        asked: the study at the other epsilon.
        booked: of each hospital the part of its budget that is booked.
    """
    return [
        {
            say("budgets.hospital"): site,
            say("what_if.share", epsilon=_epsilon(own)): _share(own.shares[site]),
            say("what_if.share", epsilon=_epsilon(asked)): _share(asked.shares[site]),
            say("what_if.fits", epsilon=_epsilon(asked)): _fits(
                asked.shares[site], booked.get(site)
            ),
        }
        for site in asked.shares
    ]


def conclusion(own: WhatIf, asked: WhatIf) -> str:
    """Returns in a sentence what the other epsilon changes; why nothing is forecast."""
    first, then = _reached(own), _reached(asked)
    if first is None or then is None:
        return say("what_if.not_forecast", why=asked.why or own.why)
    gained, dearer = then.auroc - first.auroc, _dearer(own, asked)
    return say(
        "what_if.changes", epsilon=_epsilon(asked), gained=f"{gained:+.2f}",
        dearer=NOTHING if dearer is None else f"{dearer:.2g}",
    )  # fmt: skip


def _dearer(own: WhatIf, asked: WhatIf) -> float | None:
    """Returns how many times as dear the other epsilon is, at the hospital where it is most so."""
    times = [
        then / now
        for site, then in asked.shares.items()
        if then is not None and (now := own.shares.get(site))
    ]
    return max(times, default=None)


def _epsilon(one: WhatIf) -> str:
    return show(one.epsilon, Format.EPSILON)


def _now(one: WhatIf) -> str:
    return say("what_if.now", epsilon=_epsilon(one))


def _then(one: WhatIf) -> str:
    return say("what_if.then", epsilon=_epsilon(one))


def _reached(one: WhatIf) -> Expected | None:
    return None if one.settings is None else one.settings.expected


def _noise(one: WhatIf) -> str:
    return NOTHING if one.settings is None else f"{one.settings.event.noise_multiplier:.3g}"


def _felt(one: WhatIf) -> str:
    return NOTHING if one.settings is None else f"{one.settings.noise:.2g}"


def _expected(one: WhatIf) -> str:
    expected = _reached(one)
    if expected is None:
        return NOTHING
    return say("what_if.expected", auroc=f"{expected.auroc:.2f}", low=f"{expected.low:.2f}")


def _evaluated(one: WhatIf) -> str:
    found = one.evaluation
    if found is None:
        return NOTHING
    if found.note:
        return say("what_if.too_few")
    text = say(
        "what_if.released", auroc=f"{found.released:.2f}", half=f"{found.half_width:.2f}",
        noise=f"{found.by_noise:.2f}",
    )  # fmt: skip
    return f"{text} {say('what_if.may_be_withheld')}" if found.may_be_withheld else text


def _share(share: float | None) -> str:
    if share is None:
        return NOTHING
    return percent(share) if share <= 1 else say("what_if.never")


def _fits(share: float | None, booked: float | None) -> str:
    if not share or booked is None:
        return NOTHING
    return str(math.floor(max(0.0, 1 - booked) / share + 1e-9))
