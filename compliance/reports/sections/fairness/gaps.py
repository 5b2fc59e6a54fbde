"""Sentences about the gaps between hospitals, and between groups: what may be concluded."""

from compliance.estimates.largest_gap import LargestGap
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show
from protocol.counted import counted


def gap_sentences(dossier: Dossier) -> tuple[str, ...]:
    """Returns what may be concluded from the largest gap between hospitals, by figure."""
    return tuple(
        f"{kind.label}: {_found(kind, gap, 'hospital')}"
        for kind in dossier.site_kinds
        if (gap := dossier.largest_gaps.get(kind.name)) is not None
    )


def group_gap_sentences(dossier: Dossier, grouping: str) -> tuple[tuple[str, str], ...]:
    """Returns figures, and the same of the groups of one grouping, or why nothing is known.

    A figure that no group has at all is left out.
    """
    said = []
    for kind in dossier.figures.group:
        groups = [group for group in dossier.groups if group.grouping == grouping]
        if not any(kind.name in group.released for group in groups):
            continue
        criterion = f" ({kind.criterion})" if kind.criterion else ""
        gap = dossier.group_gaps[grouping][kind.name]
        if gap is None:
            notes = {group.released[kind.name].note for group in groups} - {""}
            why = "; ".join(sorted(notes)) or "the others have no patients"
            sentence = f"groups cannot be compared, for fewer than two have a figure: {why}."
        else:
            sentence = _found(kind, gap, "group")
        said.append((f"{kind.label}{criterion}", sentence))
    return tuple(said)


def _found(kind: FigureKind, gap: LargestGap, what: str) -> str:
    least, here, value, low, high, spread = (
        show(number, kind.form)
        for number in (
            gap.detectable, gap.detectable_here, gap.value, gap.low, gap.high, gap.spread
        )
    )  # fmt: skip
    found = (
        f"the largest gap, between {gap.highest} and {gap.lowest}, is {value} "
        f"(95 %: {low} to {high}, for all {counted(gap.groups, what)} together). "
    )
    if gap.shown_between not in (None, (gap.highest, gap.lowest)):
        upper, lower = gap.shown_between
        found += f"It is between {upper} and {lower} that a gap is shown. "
    if gap.groups > 2:
        found += "The interval is that of the largest true gap, whichever two have it. "
    if gap.is_shown and gap.groups > 2:  # of two, the gap says it
        found += (
            f"Beyond chance and noise, the {what}s' true values are estimated to differ by "
            f"{spread} (standard deviation). "
        )
    if gap.is_shown:
        return found + (
            f"If all {what}s had one true value, a gap would be shown in at most 5 of 100 "
            "evaluations: find out why before the model is used."
        )
    return found + (
        "It may be chance and noise alone, which is not to say that there is no gap: with these "
        f"patients and this noise a true gap must be {least} or more to be shown in 80 of 100 "
        "evaluations" + (f", and {here} between these two." if here != least else ".")
    )
