"""Sentences about the gaps between hospitals, and between groups: what may be concluded."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from compliance.estimates.largest_gap import LargestGap
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import show

#: What says a sentence of this name with these values.
Says: TypeAlias = Callable[[str, Mapping[str, object]], str]
#: What may be concluded from a gap, in sentences: a page may say them in another language.
ENGLISH = {
    "largest_hospitals": "the largest gap, between {highest} and {lowest}, is {value} (95 %: {low} "
    "to {high}, for all {groups} hospitals together).",
    "largest_groups": "the largest gap, between {highest} and {lowest}, is {value} (95 %: {low} to "
    "{high}, for all {groups} groups together).",
    "shown_between": "It is between {upper} and {lower} that a gap is shown.",
    "whichever_two": "The interval is that of the largest true gap, whichever two have it.",
    "spread_hospitals": "Beyond chance and noise, the hospitals' true values are estimated to "
    "differ by {spread} (standard deviation).",
    "spread_groups": "Beyond chance and noise, the groups' true values are estimated to differ by "
    "{spread} (standard deviation).",
    "find_out_hospitals": "If all hospitals had one true value, a gap would be shown in at most 5 "
    "of 100 evaluations: find out why before the model is used.",
    "find_out_groups": "If all groups had one true value, a gap would be shown in at most 5 of 100 "
    "evaluations: find out why before the model is used.",
    "may_be_chance": "It may be chance and noise alone, which is not to say that there is no gap: "
    "with these patients and this noise a true gap must be {least} or more to be shown in 80 of "
    "100 evaluations.",
    "may_be_chance_here": "It may be chance and noise alone, which is not to say that there is no "
    "gap: with these patients and this noise a true gap must be {least} or more to be shown in 80 "
    "of 100 evaluations, and {here} between these two.",
    "not_compared": "groups cannot be compared, for fewer than two have a figure: {why}.",
}


def in_english(name: str, values: Mapping[str, object]) -> str:
    """Returns a sentence as reports say it."""
    return ENGLISH[name].format(**values)


def gap_sentences(dossier: Dossier, says: Says = in_english) -> tuple[str, ...]:
    """Returns what may be concluded from the largest gap between hospitals, by figure.

    Args:
        dossier: a run.
        says: the language, by the names of ``ENGLISH``.
    """
    return tuple(
        f"{kind.label}: {_found(kind, gap, 'hospitals', says)}"
        for kind in dossier.site_kinds
        if (gap := dossier.largest_gaps.get(kind.name)) is not None
    )


def group_gap_sentences(
    dossier: Dossier, grouping: str, says: Says = in_english
) -> tuple[tuple[str, str], ...]:
    """Returns figures, and the same of the groups of one grouping, or why nothing is known.

    A figure that no group has at all is left out. ``says`` is as in ``gap_sentences``.
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
            sentence = says("not_compared", {"why": why})
        else:
            sentence = _found(kind, gap, "groups", says)
        said.append((f"{kind.label}{criterion}", sentence))
    return tuple(said)


def _found(kind: FigureKind, gap: LargestGap, what: str, says: Says) -> str:
    least, here, value, low, high, spread = (
        show(number, kind.form)
        for number in (
            gap.detectable, gap.detectable_here, gap.value, gap.low, gap.high, gap.spread
        )
    )  # fmt: skip
    said: dict[str, object] = {
        "highest": gap.highest, "lowest": gap.lowest, "value": value, "low": low, "high": high,
        "groups": gap.groups, "least": least, "here": here, "spread": spread,
    }  # fmt: skip
    names = [f"largest_{what}"]
    if gap.shown_between not in (None, (gap.highest, gap.lowest)):
        said["upper"], said["lower"] = gap.shown_between
        names.append("shown_between")
    if gap.groups > 2:
        names.append("whichever_two")
    if gap.is_shown and gap.groups > 2:  # of two, the gap says it
        names.append(f"spread_{what}")
    if gap.is_shown:
        names.append(f"find_out_{what}")
    else:
        names.append("may_be_chance" if here == least else "may_be_chance_here")
    return " ".join(says(name, said) for name in names)
