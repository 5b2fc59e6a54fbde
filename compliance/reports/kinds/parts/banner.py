"""The first statements of a report: faults, warnings, how runs ended, and the counts of its bases.

They sum up and warn, so they have no basis of their own.
"""

from collections.abc import Sequence

from compliance.facts.formatting import Format, show
from compliance.reports.document import Statement, Tone
from compliance.reports.evidence import ReportSubject
from compliance.reports.sections import statements
from protocol.counted import counted


def report_banner(subject: ReportSubject, counts: Statement) -> tuple[Statement, ...]:
    """Returns what must be read first; faults come before everything else.

    Args:
        subject: the subject of the report.
        counts: how many statements have each basis.
    """
    found, log = subject.facts.verification, subject.facts.log
    newest = show(subject.dated, Format.TIME)
    said = statements.verified(found, f"at entry {log.size:,} of the signed log ({newest})")
    first = _several(subject) if subject.single is None else statements.banner(subject.single)
    others = (
        *_unsigned(subject), *_nobody(subject), *_clock(subject), *_other_clocks(subject),
        *_rosters(subject),
        *_red_team(subject),
    )  # fmt: skip
    is_faulty = found is not None and bool(found.faults)
    return (said, *first, *others, counts) if is_faulty else (*first, *others, counts, said)


def _nobody(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns that acts are attributed to nobody, where a consortium's people are not registered.

    A simulation on one machine has no consortium's people.
    """
    if subject.facts.acts or all(one.simulation for one in subject.dossiers):
        return ()
    said = Statement(
        text="What was done is attributed to nobody: no person was registered.",
        detail="The log names hospitals and the coordinator, not who acted for them. An "
        "administrator registers the first person with collegium people found.",
        tone=Tone.CAUTION,
    )
    return (said,)


def _several(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns how the runs ended, where there are several; those that failed are named."""
    states = [one.state for one in subject.dossiers]
    told = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    bad = [one.run_id for one in subject.dossiers if one.state != "finished"]
    without = [one.run_id for one in subject.dossiers if not one.protected]
    found = [
        Statement(
            text=f"{counted(len(states), 'run')}: {told}.",
            detail=f"Not finished: {', '.join(bad)}." if bad else "",
            tone=Tone.BAD if bad else Tone.GOOD,
        )
    ]
    if without:
        found.append(
            Statement(
                text=f"No privacy is claimed of {counted(len(without), 'run')}.",
                detail=f"They may reveal what is in single patients' records: {few(without)}.",
                tone=Tone.BAD,
            )
        )
    if any(one.simulation for one in subject.dossiers):
        found.append(
            Statement(
                text="Simulations on one machine are among these runs.",
                detail="Figures marked simulation only are exact and unprotected.",
            )
        )
    return tuple(found)


def few(names: Sequence[str]) -> str:
    """Returns the first five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _unsigned(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns the hospitals that a study names and that signed nothing: they approved no run."""
    if subject.facts.scope == "hospital":
        return ()
    found = []
    for one in subject.dossiers:
        signed = {site.site for site in one.sites}
        named = [site["name"] for site in one.study.get("sites", ())]
        lacking = [name for name in named if name not in signed]
        if lacking:
            found.append(f"run {one.run_id}: {', '.join(lacking)}")
    if not found:
        return ()
    return (
        Statement(
            text="A hospital that the study names signed nothing.",
            detail=f"It did not approve or join: {'; '.join(found[:5])}. Nothing is said of it "
            "below.",
            tone=Tone.BAD,
        ),
    )


def _clock(subject: ReportSubject) -> tuple[Statement, ...]:
    steps = subject.clock_steps()
    if not steps:
        return ()
    told = "; ".join(
        f"entry {after.index} is {back:,.0f} s before entry {before.index}"
        for before, after, back in steps[:3]
    )
    return (
        Statement(
            text="The coordinator's clock went back.",
            detail=f"{told[:1].upper()}{told[1:]}. The order of entries holds, their times do not: "
            "set the clock by a time server.",
            tone=Tone.BAD,
        ),
    )


def _other_clocks(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns whose clock, by the times at which the log was cosigned, was far from the log's."""
    told = [
        f"{name.rpartition('/')[2]} was {abs(ahead) / 60:,.0f} minutes "
        f"{'ahead of' if ahead > 0 else 'behind'} the log"
        for name, ahead in subject.facts.clocks
    ]
    if not told:
        return ()
    return (
        Statement(
            text="Clocks differ: times in this report are the log's, and others saw others.",
            detail=f"{'; '.join(told[:5])}. Each cosigner says by its own clock when it signed a "
            "head of the log: set both clocks by a time server.",
            tone=Tone.BAD,
        ),
    )


def _rosters(subject: ReportSubject) -> tuple[Statement, ...]:
    """Returns the runs that went on after the roster of their members' keys had ended."""
    ends = dict(subject.facts.rosters)
    late = [
        one.run_id
        for one in subject.dossiers
        if (end := ends.get(one.run_id)) and (one.ended_at or one.started_at) > end
    ]
    if not late:
        return ()
    return (
        Statement(
            text="The roster of keys had expired.",
            detail=f"It ended before {few(late)} did. Renew it: collegium coordinator roster.",
            tone=Tone.BAD,
        ),
    )


def _red_team(subject: ReportSubject) -> tuple[Statement, ...]:
    bad = [one for one in subject.facts.red_team if one.contradicted]
    if not bad:
        return ()
    told = "; ".join(reason for one in bad for reason in one.reasons[:3])
    return (
        Statement(
            text="A red team contradicted the privacy claim.", detail=f"{told}.", tone=Tone.BAD
        ),
    )
