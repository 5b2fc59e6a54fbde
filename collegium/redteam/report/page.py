"""The attacker's findings, as one page and in a few lines."""

from pathlib import Path

from rich.console import Console

from collegium.redteam.adversary import Claim, View
from collegium.redteam.findings import Findings
from collegium.redteam.noise.canaries import OneRunAudit
from collegium.redteam.report.on_records import (
    estimate_text,
    extraction_section,
    inversion_section,
    membership_section,
)
from compliance.facts.formatting import Format, show
from compliance.privacy.empirical_audit.checks import CHECK_LEVEL, AuditCheck
from compliance.reports.document import (
    Bullets,
    Column,
    Document,
    Fact,
    Facts,
    Highlight,
    Highlights,
    Paragraph,
    Section,
    Statement,
    Table,
    Tone,
)
from pipelines.attacks.membership import FALSE_ALARMS
from protocol.study.privacy import DistributedPrivacy
from protocol.study.strategies.registry import strategy_of


def page(findings: Findings) -> Document:
    """Returns the page of one red team."""
    study, run = findings.target.study, findings.target.run
    return Document(
        kind="red-team",
        title="Red team: is the claimed privacy there?",
        subtitle=f"{study.title}, {f'run {run.run_id}' if run else f'study {study.digest}'}",
        banner=(_verdict(findings), _whose_eyes(findings)),
        sections=(
            _summary(findings),
            _claim(findings),
            *((_conformance(findings),) if findings.view is not None else ()),
            *_evidence(findings),
            *((_audit(findings),) if findings.audits else ()),
            membership_section(findings),
            inversion_section(findings),
            extraction_section(findings),
            _not_covered(findings),
        ),
        footer=(
            "An attack that fails proves nothing: a better one may come. Only the proof behind the "
            "claim, and noise that is what the proof assumes, protect a patient.",
        ),
    )


def summarise(findings: Findings, out: Path, console: Console) -> None:
    """Prints the findings for a person."""
    passed = sum(check.passed for check in findings.checks)
    verdict = _verdict(findings)
    style = "red" if findings.contradicted else "green"
    console.print(findings.target.study.title, style="bold", markup=False)
    console.print(verdict.text, style=style, markup=False)
    for reason in findings.reasons:
        console.print(f"  {reason}", style=style, markup=False, soft_wrap=True)
    for check in findings.checks:
        if not check.passed:
            console.print(
                f"  {check.name}: {check.found}; expected {check.expected}",
                style="red",
                markup=False,
            )
    console.print(f"  checks        {passed} of {len(findings.checks)} passed")
    for audit in findings.audits:
        console.print(f"  one run       {_said_of(audit)}", markup=False, soft_wrap=True)
    for attack in findings.attacks[2:] or findings.attacks:
        found = attack.found
        console.print(
            f"  membership    {attack.training}: {found.attack}, AUROC "
            f"{estimate_text(found.auroc)}, {estimate_text(found.true_alarms)} "
            f"found at 1 % false alarms, advantage {estimate_text(found.advantage)}",
            soft_wrap=True,
        )
    for name, exposure in findings.exposures.items():
        console.print(
            f"  extraction    {name}: {estimate_text(exposure.excess)} bits more than of records "
            "that it was not trained on",
            soft_wrap=True,
        )
    for name, why in findings.missing.items():
        console.print(f"  not attacked  {name}: {why}", markup=False, soft_wrap=True)
    for seen in findings.inversions:
        console.print(
            f"  inversion     {seen.seen}: cosine {seen.inside:.3f} (others {seen.outside:.3f})"
        )
    if not findings.inversions and findings.view is not None:
        console.print("  inversion     not run: the network does not begin with a linear layer")
    console.print(f"The page: {out / 'redteam.html'}", markup=False, soft_wrap=True)


def _verdict(findings: Findings) -> Statement:
    if findings.claim is None:
        return Statement(
            text="Nothing is claimed, so nothing is contradicted.",
            detail="The run promised its patients no privacy. What follows is what its model gives "
            "away of them.",
            tone=Tone.CAUTION,
        )
    if not findings.contradicted:
        return Statement(
            text="Nothing contradicts the claim.",
            detail="The released noise is what the proof assumes, as far as these checks see. The "
            "attacks give lower bounds: that they stay below the claim proves nothing."
            if findings.view is not None
            else f"Noise and canaries were not examined: {findings.missing['noise']}.",
            tone=Tone.GOOD if findings.view is not None else Tone.CAUTION,
        )
    return Statement(
        text="The claim is contradicted.",
        detail=". ".join(reason[:1].upper() + reason[1:] for reason in findings.reasons)
        + ". It was tested again with fresh randomness and failed again. Release nothing from "
        "this software before the cause is found."
        + " The run is marked failed."
        * (findings.target.run is not None),
        tone=Tone.BAD,
    )


def _whose_eyes(findings: Findings) -> Statement:
    if findings.target.stand_in:
        return Statement(
            text="On drawn records, which are nobody's: the run's own model was not attacked.",
            detail="The run was made by real hospitals. A training of its study, with the software "
            "that is installed here, was attacked on records drawn from what the study declares, "
            "with drawn labels. What the run's own model keeps of its patients only its hospitals "
            "can look for: collegium silo leak-check.",
            tone=Tone.CAUTION,
        )
    return Statement(
        text="For simulations and synthetic records, or for the hospital's own eyes only.",
        detail="An audit on real patients' records is itself a release, outside every claim: the "
        "membership and inversion figures below were computed from the records without noise.",
        tone=Tone.CAUTION,
    )


def _summary(findings: Findings) -> Section:
    passed, items = sum(check.passed for check in findings.checks), []
    if findings.checks:
        items.append(
            Highlight(
                label="checks passed",
                value=f"{passed} of {len(findings.checks)}",
                form=Format.TEXT,
                note="the strongest test",
            )  # fmt: skip
        )
    if findings.audits:
        items.append(_bound(findings.audits[0]))
    attack = findings.attacks[2] if findings.view is not None else findings.candidate_attack
    if attack is not None:
        items.append(
            Highlight(
                label="members found",
                value=attack.found.true_alarms.value,
                form=Format.RATIO,
                note=f"at 1 % false alarms; guessing finds {FALSE_ALARMS:g}",
            )  # fmt: skip
        )
    if findings.inversions:
        last = findings.inversions[-1]
        items.append(
            Highlight(
                label="best recovered record",
                value=last.inside,
                form=Format.RATIO,
                note=f"cosine; with patients not in it {last.outside:.3f}",
            )  # fmt: skip
        )
    return Section(key="summary", title="In short", blocks=(Highlights(items=tuple(items)),))


def _bound(audit: OneRunAudit) -> Highlight:
    claimed = f"claimed {show(audit.claim, Format.EPSILON)}, δ = {show(audit.delta, Format.SMALL)}"
    if not audit.offered:
        return Highlight(
            label="lower bound of ε", value="none", form=Format.TEXT,
            note=f"{claimed}; it could show {audit.ceiling:.2f} at most",
        )  # fmt: skip
    return Highlight(
        label="lower bound of ε", value=round(audit.bound, 2), form=Format.NUMBER, note=claimed
    )


def _said_of(audit: OneRunAudit) -> str:
    claim = (
        f"{audit.view.claimed_as}: {show(audit.claim, Format.EPSILON)} at delta "
        f"{show(audit.delta, Format.SMALL)}"
    )
    if not audit.offered:
        return (
            f"{audit.view.title}: not made, for {audit.guesses:,} right guesses of "
            f"{audit.canaries:,} canaries would show {audit.ceiling:.2f} at most; {claim}"
        )
    return f"{audit.view.title}: epsilon is at least {audit.bound:.2f} (95 %); {claim}"


def _seen(findings: Findings, view: View) -> str:
    training = findings.target.study.training
    if strategy_of(training).shows_gradients:
        return view.title
    return (
        f"{view.title}; as plain steps, for updates of {training.strategy} do not hold "
        "every noised gradient that is paid for"
    )


def _claim(findings: Findings) -> Section:
    run, view = findings.target.run, findings.view
    facts = Facts(
        title="Claim and target",
        rows=(
            Fact(label="Attacked", value="a run" if run else "a study, as it would be run"),
            *((Fact(label="Run", value=run.run_id, form=Format.CODE),) if run else ()),
            Fact(label="Study", value=findings.target.study.digest, form=Format.CODE),
            Fact(label="Mode of privacy", value=findings.target.study.privacy.mode),
            *(() if findings.claim is None else _claimed(findings, findings.claim)),
            *((Fact(label="What the attacker sees", value=_seen(findings, view)),) if view else ()),
            Fact(label="Hospital whose records were attacked", value=findings.site),
            *(_software(run.other_software) if run else ()),
            Fact(label="Took", value=sum(findings.seconds.values()), form=Format.SECONDS),
        ),
    )
    return Section(key="claim", title="What is claimed, and what was attacked", blocks=(facts,))


def _claimed(findings: Findings, claim: Claim) -> tuple[Fact, ...]:
    event, bands = claim.event, findings.target.study.privacy.bands
    of_cycles = f" of a cycle of {bands} steps" if bands > 1 else ""
    return (
        Fact(
            label="Who claims it",
            value="the hospitals signed it"
            if findings.target.run
            else "this software, before a run",
        ),
        Fact(label="ε for one patient, training", value=claim.epsilon, form=Format.EPSILON),
        Fact(label="δ", value=claim.delta, form=Format.SMALL),
        Fact(label="Noise multiplier", value=event.noise_multiplier, form=Format.NUMBER),
        Fact(label=f"Sampling rate{of_cycles}", value=event.sampling_rate, form=Format.NUMBER),
        Fact(
            label="Cycles that are paid for" if of_cycles else "Steps that are paid for",
            value=event.steps,
            form=Format.COUNT,
        ),
    )


def _software(other: tuple[str, ...]) -> tuple[Fact, ...]:
    said = f"another now than then: {', '.join(other)}" if other else "the same now as then"
    return (Fact(label="Software of the run", value=said),)


def _conformance(findings: Findings) -> Section:
    again = (
        " A check failed at first; these are the figures of the second test." * findings.retested
    )
    text = Paragraph(
        text="Every hospital's own trainer was given patients whose gradients are zero. What it "
        "then releases is its noise, which must be the exact discrete Gaussian of the plan, new "
        "in every step, also where nobody was sampled. Then it was watched whom it draws, and "
        "patients with gradients a thousand times too long, broken, or of several records were "
        f"taken in and out, without noise: none may move the sum by more than the bound. Last, the "
        f"evaluation: the noise of counts and tables, and what one test patient changes.{again}"
    )
    table = _checks(
        "Checks of the released noise",
        findings.conformance,
        f"A check fails when its p is below {CHECK_LEVEL:g}, in two tests with fresh noise: "
        "an honest trainer does so less than once in a million.",
    )
    return Section(key="noise", title="Noise, sampling, clipping, evaluation", blocks=(text, table))


def _evidence(findings: Findings) -> tuple[Section, ...]:
    run = findings.target.run
    if run is None:
        return ()
    text = Paragraph(
        text="What the hospitals signed, and the masked vectors of the rounds that are still kept. "
        "Two vectors under one mask would show the difference of two updates."
    )
    table = _checks(
        "Checks of what the run left behind",
        run.checks,
        f"This cannot be drawn anew, so a check fails only when its p is below {CHECK_LEVEL**2:g}."
        + "".join(f" Not checked: {what}." for what in run.not_checked),
    )
    return (Section(key="evidence", title="The run's own evidence", blocks=(text, table)),)


def _checks(title: str, checks: tuple[AuditCheck, ...], note: str) -> Table:
    return Table(
        title=title,
        columns=(
            Column(title="Check"), Column(title="Result"), Column(title="Found"),
            Column(title="Expected"), Column(title="p", form=Format.NUMBER),
        ),
        rows=tuple(
            (c.name, "passed" if c.passed else "FAILED", c.found, c.expected, c.p_value)
            for c in checks
        ),
        note=note,
    )  # fmt: skip


def _audit(findings: Findings) -> Section:
    first = findings.audits[0]
    text = Paragraph(
        text="Each canary is a patient with the largest gradient that clipping allows, or one a "
        "thousand times as long, in a direction of its own; some have several records. A secret "
        "coin says whether it is in. The attacker sees every release, guesses the most certain "
        "ones, and the number of right guesses bounds ε from below."
    )
    untested = Paragraph(
        text="; ".join(_said_of(audit) for audit in findings.audits if not audit.offered)
    )
    table = Table(
        title="One-run audits",
        columns=(
            Column(title="What is seen"), Column(title="Held against"),
            Column(title="Canaries", form=Format.COUNT), Column(title="Guessed", form=Format.COUNT),
            Column(title="Right", form=Format.COUNT),
            Column(title="Lower bound of ε", form=Format.NUMBER),
            Column(title="Most it could show", form=Format.NUMBER),
            Column(title="Its ε", form=Format.EPSILON), Column(title="Level", form=Format.NUMBER),
        ),
        rows=tuple(
            (
                audit.view.title, audit.view.claimed_as, run.canaries, run.guesses, run.correct,
                round(audit.bound_of(run), 3), round(audit.ceiling, 2), audit.claim, audit.level,
            )
            for audit in findings.audits
            for run in audit.runs
        ),
        note=f"Over {first.steps} steps, at δ = {show(first.delta, Format.SMALL)}. 95 % for all "
        "planned runs together; how many are guessed was fixed beforehand. A lower bound: that it "
        "stays below the claim proves nothing. Mahloujifar, Melis and Chaudhuri 2024, arXiv "
        "2410.22235.",
    )  # fmt: skip
    made = any(audit.offered for audit in findings.audits)
    skipped = not all(audit.offered for audit in findings.audits)
    blocks = (text, *((untested,) if skipped else ()), *((table,) if made else ()))
    return Section(key="one-run", title="Audit in one run", blocks=blocks)


def _not_covered(findings: Findings) -> Section:
    shared = isinstance(findings.target.study.privacy, DistributedPrivacy)
    secure_sum = (
        "That the coordinator sees nothing but the sum is assumed here; the protocol's own tests "
        "and proofs are about that."
        if shared
        else "The attacker sees one hospital's updates bare. Between hospitals only sums of masked "
        "updates are seen."
    )
    items = (
        ("The secure sum", secure_sum),
        ("The keys", "Whether the operating system's generator is good cannot be seen from its "
         "output."),
        ("Long trainings", "Where a study is too long or too large for minutes, fewer rounds are "
         "attacked, and held against what the plan claims for so many."),
    )  # fmt: skip
    return Section(key="not-covered", title="What is not covered", blocks=(Bullets(items=items),))
