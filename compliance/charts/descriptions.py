"""Says in words what the charts draw, for those who listen and for those who search.

Each ``describe_...`` is the equivalent of a chart; its text travels inside the drawing.
"""

from collections.abc import Mapping, Sequence

from compliance.estimates.interval import Interval
from compliance.estimates.withholding import TOO_FEW as NOT_RELEASED
from compliance.facts.comparison.modes import (
    FEWEST,
    SPLITS,
    Difference,
    Gap,
    SeedMean,
    differences,
    gaps,
    num_missing,
    over_of,
)
from compliance.facts.dossier import CourseFacts, Dossier, RoundFacts, SiteFacts
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Format, show
from compliance.facts.privacy_utility import (
    EXACT,
    MODES,
    NO_BETTER,
    NONE,
    POOLED,
    RELEASED,
    UtilityLevel,
    UtilityPoint,
    Withheld,
    best_known,
    compares_modes,
    figure_of,
    means_tell,
    names_studies,
    reasons,
    studies_in,
    supports_line,
    utility_levels,
    wholly_withheld,
)
from compliance.privacy.rounding import percent
from protocol.counted import counted

TOO_FEW = "too few patients"
#: What the line without privacy is.
WITHOUT_PRIVACY = (
    "Without privacy is the same training, clip, rate and steps, without the noise. A reference of "
    "which a run is no better than chance is not drawn."
)
#: More runs than these at one epsilon are told by their mean and range.
_MAX_TOLD = 8
#: A round in one of these states yielded nothing.
UNFINISHED = frozenset({"open", "running", "interrupted", "stopped", "failed", "refused"})


def describe_utility(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> str:
    """Says in words what ``run.utility_against_epsilon`` draws.

    Where no line may join released means, they are not told either: the runs are, each
    with its interval.
    """
    drawn = best_known(points) if compares_modes(points) else points
    parts = [_level_said(level, drawn) for level in utility_levels(drawn, withheld)]
    if not any(point.kind == EXACT for point in drawn) or not compares_modes(points):
        parts += [withheld_text(group) for group in wholly_withheld(points, withheld)]
    said = "; ".join(parts) + "."
    repeated = [interval_text(points)] if len(points) > 1 else []
    apart = [studies_text(points)] if names_studies(points) else []
    return " ".join(
        [
            f"{figure_of(points).label} against ε. {said[:1].upper()}{said[1:]}",
            *describe_comparison(points, withheld),
            *apart,
            *repeated,
        ]
    )


def _level_said(level: UtilityLevel, drawn: Sequence[UtilityPoint]) -> str:
    own = [p for p in drawn if (p.kind, p.mode, p.study, p.epsilon) == _place(level)]
    about = f"{level_text(level)}, {level.kind}"
    if level.kind == RELEASED and not means_tell(level, drawn) and len(own) <= _MAX_TOLD:
        shown = ", ".join(
            show(Interval(value=p.value, low=p.low, high=p.high), Format.RATIO) for p in own
        )
        left_out = f"; {missing_text(level)}" if level.num_withheld else ""
        return f"{about}: {shown}{left_out}"
    return (
        f"{about}: mean {level.mean:.3f} {mean_of(level)}, from {level.low:.3f} to {level.high:.3f}"
    )


def _place(level: UtilityLevel) -> tuple[str, str, str, float | None]:
    return level.kind, level.mode, level.study, level.epsilon


def mean_of(level: UtilityLevel) -> str:
    """Returns what a mean is over, how many runs are missing in it, how many are no use.

    >>> level = UtilityLevel(epsilon=1.0, kind="released", mode="per_site", mean=0.9, low=0.9,
    ...                      high=0.9, num_runs=4, num_withheld=1, why="too few patients")
    >>> mean_of(level)
    'of 4 of 5 runs; 1 withheld: too few patients'
    """
    useless = f", {level.num_next_to_chance} {NO_BETTER}" if level.num_next_to_chance else ""
    if level.num_withheld:
        of = level.num_runs + level.num_withheld
        return f"of {level.num_runs} of {of} runs{useless}; {missing_text(level)}"
    return f"over {counted(level.num_runs, 'run')}{useless}"


def missing_text(level: UtilityLevel) -> str:
    """Returns how many runs of a level were withheld, and why."""
    return f"{level.num_withheld} withheld: {level.why}"


def withheld_text(group: Sequence[Withheld]) -> str:
    """Returns of one mode and epsilon that every run was withheld, and why."""
    runs = "the run" if len(group) == 1 else f"all {len(group)} runs"
    return f"{level_text(group[0])}, {RELEASED}: {runs} withheld: {reasons(group)}"


def level_text(level: UtilityLevel | Withheld) -> str:
    """Returns what protected the patients, and how far.

    >>> level_text(UtilityLevel(epsilon=None, kind="released", mode="pooled", mean=0.9, low=0.9,
    ...                          high=0.9, num_runs=1))
    'pooled reference (simulation only), no privacy'
    """
    name = f"{MODES[level.mode]}, {level.study}" if level.study else MODES[level.mode]
    if level.epsilon is not None:
        return f"{name}, ε = {show(level.epsilon, Format.EPSILON)}"
    return name if level.mode == NONE else f"{name}, {MODES[NONE]}"


def describe_comparison(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> tuple[str, ...]:
    """Says, a sentence each, what one mode gains over another at the same epsilon."""
    if not compares_modes(points):
        return ()
    gains = [
        f"{difference_text(d)}: {estimate_text(d.value)}{_missing(points, withheld, d)}."
        for d in differences(points)
    ]
    useless = [
        f"{level_text(level)[:1].upper()}{level_text(level)[1:]}: {level.num_next_to_chance} of "
        f"{level.num_runs} runs {NO_BETTER}, so nothing is compared with it."
        for level in utility_levels(best_known(points))
        if level.mode in (POOLED, NONE) and not level.is_reference
    ]
    return (*gains, *(gap_text(gap) for gap in gaps(points)), *useless)


def _missing(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld], found: Difference
) -> str:
    count = num_missing(points, withheld, found.epsilon, found.mode, found.than)
    return f", without {count} that were withheld" if count else ""


def difference_text(found: Difference) -> str:
    """Returns what is subtracted from what, and where."""
    if found.epsilon is None:
        return "consortium - pooled, without privacy"
    return (
        f"{_short(found.mode)} - {_short(found.than)} at ε = {show(found.epsilon, Format.EPSILON)}"
    )


def gap_text(gap: Gap) -> str:
    """Says what per-site noise loses to the pooled reference, and what shared noise wins back."""
    lost = (
        f"At ε = {show(gap.epsilon, Format.EPSILON)} per-site noise loses {gap.lost.mean:.3f} to "
        "the pooled reference"
    )
    if gap.closed is not None:
        return f"{lost}; shared noise closes {gap.closed:.0%} of that gap."
    if gap.lost.low is None:
        number = (
            f"one {gap.lost.over[:-1]}"
            if gap.lost.count == 1
            else f"{gap.lost.count} {gap.lost.over}"
        )
        return f"{lost}, on {number}."
    if gap.lost.low > 0:
        return f"{lost}."
    return f"{lost}, which over these {gap.lost.over} may be chance."


def _short(mode: str) -> str:
    return MODES[mode].partition(" reference")[0]


def estimate_text(found: SeedMean) -> str:
    """Returns a difference with its sign, its 95 % interval and what it rests on.

    >>> estimate_text(SeedMean(mean=0.034, low=0.02, high=0.047, count=10))
    '+0.034 (95 % interval +0.020 to +0.047 over 10 seeds)'
    """
    if found.low is None or found.high is None:
        number = f"one {found.over[:-1]}" if found.count == 1 else f"{found.count} {found.over}"
        return f"{found.mean:+.3f} ({number}: no interval, it needs {FEWEST})"
    return (
        f"{found.mean:+.3f} (95 % interval {found.low:+.3f} to {found.high:+.3f} "
        f"over {found.count} {found.over})"
    )


def interval_text(points: Sequence[UtilityPoint]) -> str:
    """Says over what the intervals of these points' means are, and what they do not contain."""
    if over_of(points) == SPLITS:
        return (
            "Means and intervals are over splits of these patients into training and test: they "
            "contain the variance of the split."
        )
    if all(level.num_runs == 1 for level in utility_levels(points)):
        return (
            "Each point is one run: a released one's interval is over the noise and the sampling "
            "of the test patients, and says nothing of another seed or split."
        )
    return (
        "Means and intervals are over seeds only: the split of patients is the same in every run, "
        "and the interval does not contain its variance (collegium sweep --splits draws others)."
    )


def line_text(points: Sequence[UtilityPoint]) -> str:
    """Says why no line joins the released means, of each mode of which that is so; else nothing.

    Of a mode with fewer than two epsilons nothing is said: there is nothing to join. So of a study.
    """
    released = [p for p in points if p.kind == RELEASED]
    own = {one: [p for p in released if (p.mode, p.study) == one] for one in studies_in(released)}
    without = [
        ", ".join(filter(None, (MODES[mode], study)))
        for (mode, study), found in own.items()
        if len({p.epsilon for p in found} - {None}) > 1 and not supports_line(found)
    ]
    if not without:
        return ""
    which = "" if len(without) == 1 else f" of {' and of '.join(without)}"
    return (
        f"No line joins the released means{which}: those at the smallest and the largest ε lie "
        "closer together than the 95 % interval of a difference between two runs, so what lies "
        "between them may be noise."
    )


def studies_text(points: Sequence[UtilityPoint]) -> str:
    """Says which studies the points are of, where runs of one mode differ by more than ε and seed.

    Empty where they do not.
    """
    names = [study for _, study in studies_in(points) if study]
    if not names:
        return ""
    return (
        "Runs of these studies ask the same of the same patients, but learn otherwise: "
        f"{'; '.join(names)}. No mean, line or difference is over several of them; comparing two "
        "runs on the page of runs says in which settings they differ."
    )


def range_text(found: SeedMean) -> str | None:
    """Returns a mean's 95 % interval in words, or None where there is none."""
    if found.low is None or found.high is None:
        return None
    return f"{found.low:.3f} to {found.high:.3f}"


def runs_text(count: int, num_withheld: int) -> str:
    """Returns how many values a mean is over, and how many runs are missing in it.

    >>> runs_text(3, 0), runs_text(2, 1)
    ('3', '2 of 3, 1 withheld')
    """
    if not num_withheld:
        return str(count)
    return f"{count} of {count + num_withheld}, {num_withheld} withheld"


def released_text(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> tuple[str, ...]:
    """Says of each mode and epsilon what was released: over how many runs, and how many not."""
    levels = [level for level in utility_levels(points, withheld) if level.kind == RELEASED]
    said = [_level_said(level, points) for level in levels]
    return (*said, *(withheld_text(group) for group in wholly_withheld(points, withheld)))


def describe_sites(sites: Sequence[SiteFacts], figure: FigureKind) -> str:
    """Says in words what ``run.site_metrics`` draws."""
    parts = []
    for site in sites:
        released, exact = site.released.get(figure.name), site.exact.get(figure.name)
        said = []
        if released is not None:
            said.append(f"released {show(released, figure.form)}")
        if exact is not None:
            said.append(f"exact {show(exact, figure.form)} (simulation only)")
        parts.append(f"{site.site}: {', '.join(said) or 'not available'}")
    return f"{figure.label} at each hospital. " + "; ".join(parts) + "."


def describe_privacy(sites: Sequence[SiteFacts]) -> str:
    """Says in words what ``run.privacy_spent`` draws."""
    parts = []
    for site in sites:
        claim = site_claim(site)
        said = (
            "no privacy claimed" if claim is None else f"this run ε = {show(claim, Format.EPSILON)}"
        )
        parts.append(f"{site.site}: {said}; all runs have booked {spent_of_budget(site)}")
    return "Privacy spent at each hospital. " + "; ".join(parts) + "."


def describe_rounds(rounds: Sequence[RoundFacts]) -> str:
    """Says in words what ``run.rounds_timeline`` draws."""
    completed = [r for r in rounds if r.state not in UNFINISHED]
    dropped = sum(len(r.dropped) for r in rounds)
    seconds = sum(r.seconds or 0.0 for r in rounds)
    training = sum(r.round_kind == "training" for r in completed)
    return (
        f"{counted(len(rounds), 'round')} in {seconds:.1f} seconds: {training} of training and "
        f"{len(completed) - training} of evaluation completed, {len(rounds) - len(completed)} "
        f"not completed; sites dropped out {counted(dropped, 'time')}."
    )


def describe_clips(rounds: Sequence[RoundFacts]) -> str:
    """Says in words what ``run.clip_by_round`` draws."""
    clips = [r.clip for r in rounds if r.clip is not None]
    return (
        f"The adaptive clip in {counted(len(clips), 'training round')}: from {clips[0]:.4g} to "
        f"{clips[-1]:.4g}, between {min(clips):.4g} and {max(clips):.4g}."
    )


def describe_course(course: CourseFacts) -> str:
    """Says in words what ``run.figure_by_round`` draws."""
    figures = "; ".join(
        f"{show(one.released, course.figure.form)} after round {one.rounds}"
        + (f", rolled back to that after round {one.goes_on}" if one.is_taken_back else "")
        for one in course.evaluations
    )
    return f"Released {course.figure.title}: {figures}."


def site_claim(site: SiteFacts) -> float | None:
    """Returns what this run claims for any one patient of a hospital, or None.

    Training and test patients are different people, so it is the larger of the
    two epsilons, not their sum.
    """
    claims = [site.privacy.epsilon, site.privacy.evaluation_epsilon]
    return max((c for c in claims if c is not None), default=None)


def unclaimed(dossier: Dossier) -> str:
    """Says why no epsilon stands where one would."""
    return "test noise: no privacy claimed" if dossier.test_noise else "no privacy claimed"


def spent_of_budget(site: SiteFacts) -> str:
    """Returns what a hospital has booked over all its runs, and of how much."""
    share, budget = site.privacy.budget_share, site.privacy.budget_epsilon
    if share is None or budget is None:
        return "nothing booked"
    return f"{percent(share)} of ε = {show(budget, Format.NUMBER)}"


def too_small_text(notes: Mapping[str, str]) -> str:
    """Returns why some hospitals have no released figure of their own, or an empty string.

    Args:
        notes: of each hospital the note of its figure; empty where it is released.

    >>> too_small_text({"cleveland": "", "switzerland": NOT_RELEASED})
    'switzerland has too few test patients for a figure of its own at this epsilon: the noise \
would be larger than what the figure says. Its counts are in the pooled figures.'
    """
    small = [site for site, note in notes.items() if note == NOT_RELEASED]
    if not small:
        return ""
    names = " and ".join(filter(None, [", ".join(small[:-1]), small[-1]]))
    has, own, their = ("has", "its", "Its") if len(small) == 1 else ("have", "their", "Their")
    return (
        f"{names} {has} too few test patients for a figure of {own} own at this epsilon: the noise "
        f"would be larger than what the figure says. {their} counts are in the pooled figures."
    )


def own_notes(sites: Sequence[SiteFacts], figure: FigureKind) -> dict[str, str]:
    """Returns of each hospital the note of its released figure."""
    name = figure.name
    return {site.site: site.released[name].note for site in sites if name in site.released}


def released_value(site: SiteFacts, figure: FigureKind) -> float | None:
    """Returns a hospital's released figure, or None when it says too little to be shown."""
    released = site.released.get(figure.name)
    return None if released is None else released.value
