"""Statements about one run, each with the entries that show it: plan, privacy, course, results."""

from compliance.facts.dossier import Dossier, RedTeamFacts, SnapshotFacts
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Format, show
from compliance.privacy.claims import OWN_NOISE, shared_noise, whose_patients
from compliance.privacy.rounding import percent
from compliance.reports.basis import Claims, ReportClaim
from compliance.reports.evidence import ReportSubject
from compliance.reports.sections import statements
from protocol.counted import counted

_JOIN = {
    "why": "no hospital's signed summary of this run is in the log",
    "remedy": "see in each hospital why it did not join: collegium runs list --home HOSPITAL",
}
_END = {
    "why": "the run ended without it, or has not ended",
    "remedy": "see the state of the run above; begin it again with enough hospitals",
}
_PLAN = {
    "why": "the log has no entry that registered this study",
    "remedy": "make the report from the folder in which the study ran",
}


def plan_claims(subject: ReportSubject, dossier: Dossier) -> Claims:
    """Returns what was fixed before any work: study, hospitals, plan."""
    registered, begun = (
        subject.registered(dossier),
        subject.entries(dossier.run_id, "run-started"),
    )
    before = (
        "before any work of this run"
        if registered and begun and registered[0] < begun[0]
        else "and it is not shown that this was before the run"
    )
    named = [site["name"] for site in dossier.study.get("sites", ())]
    items = (
        subject.evidenced(
            "Registration",
            f"The study {dossier.study_name} was registered {before}; its digest is "
            f"{dossier.study_digest}.",
            (*registered, *begun), **_PLAN,
        ),
        subject.evidenced(
            "Purpose, as registered", dossier.study_purpose or "None is given.", registered, **_PLAN
        ),
        subject.evidenced(
            "Plan",
            f"{_planned(dossier)} over {counted(len(named) or len(dossier.sites), 'hospital')}: "
            f"{', '.join(named) or ', '.join(s.site for s in dossier.sites)}. "
            f"{dossier.threshold} of them must answer in each round.",
            registered, **_PLAN,
        ),
        subject.evidenced(
            "Keys",
            "The members of the run and their signing keys were fixed in a roster before it began.",
            subject.entries(dossier.run_id, "roster"), **_PLAN,
        ),
    )  # fmt: skip
    return Claims(title=f"Plan of run {dossier.run_id}", items=items)


def _planned(dossier: Dossier) -> str:
    if not dossier.has_model:
        return "Counts of columns, without training,"
    if not dossier.trains:
        return "The evaluation of a given model, without training,"
    return f"{counted(dossier.rounds_planned, 'training round')}"


def privacy_claims(subject: ReportSubject, dossier: Dossier) -> Claims:
    """Returns what is claimed of privacy, what each hospital pays, and on what it rests."""
    signed = subject.entries(dossier.run_id, "approvals", "settlements")
    said = statements.claim(dossier)
    items = [
        subject.evidenced("Claim", f"{said.text} {said.detail}", signed, **_JOIN),
        *(_hospital(subject, dossier, site.site) for site in dossier.sites),
    ]
    if dossier.protected:
        delta = max(site.privacy.delta or 0.0 for site in dossier.sites)
        items += [
            subject.evidenced(
                "δ", f"The bound may fail with probability {show(delta, Format.SMALL)} at most.",
                signed, **_JOIN,
            ),
            subject.evidenced("Noise", _noise(dossier), signed, **_JOIN),
            subject.evidenced(
                "Trust model",
                shared_noise(dossier.colluders) if dossier.shares_noise else OWN_NOISE,
                signed, **_JOIN,
            ),
        ]  # fmt: skip
    return Claims(title=f"Privacy of run {dossier.run_id}", items=tuple(items))


def _noise(dossier: Dossier) -> str:
    kinds = sorted({site.privacy.noise for site in dossier.sites})
    engines = sorted({site.privacy.engine for site in dossier.sites if site.privacy.engine})
    made = f" Gradients were computed by {', '.join(engines)}." if engines else ""
    return f"The hospitals signed that their noise is {', '.join(kinds)}.{made}"


def _hospital(subject: ReportSubject, dossier: Dossier, site: str) -> ReportClaim:
    (found,) = [one for one in dossier.sites if one.site == site]
    privacy = found.privacy
    if privacy.epsilon is None or dossier.test_noise:
        said = f"{site} claims no differential privacy in this run."
    else:
        test = (
            f", a test patient ε = {show(privacy.evaluation_epsilon, Format.EPSILON)}"
            if privacy.evaluation_epsilon is not None and dossier.trains
            else ""
        )
        who = "a training patient" if dossier.trains else "a patient"
        if dossier.has_model and not dossier.trains:
            who = "a training patient pays nothing, and a test patient"
        said = (
            f"At {site} {who} pays ε = {show(privacy.epsilon, Format.EPSILON)}{test}, "
            f"by unit of one {privacy.unit}; a patient is {whose_patients(privacy.patient)}."
        )
        if privacy.budget_epsilon is not None and privacy.budget_share is not None:
            said += (
                f" Of the budget for life, ε = {privacy.budget_epsilon:g}, "
                f"{percent(privacy.budget_share)} was booked when it signed last."
            )
    return subject.evidenced(
        f"Hospital {site}",
        said,
        subject.entries(dossier.run_id, "approvals", "settlements"),
        **_JOIN,
    )


def course_claims(subject: ReportSubject, dossier: Dossier) -> Claims:
    """Returns how the run went: its rounds, drop-outs, failures and end."""
    rounds = [one for one in dossier.rounds if one.state == "finished"]
    failed = [one for one in dossier.rounds if one.state == "failed"]
    drops = sum(len(one.dropped) for one in dossier.rounds)
    run = dossier.run_id
    ended = subject.entries(run, "run-finished", "run-failed", "run-stopped")
    state = statements.banner(dossier)[0]
    items = (
        subject.evidenced("End", f"{state.text} {state.detail}", ended or
                          subject.entries(run, "run-started"), **_END),
        subject.evidenced(
            "Rounds", f"{counted(len(dossier.rounds), 'attempt')} of rounds were opened, "
            f"{len(rounds)} finished, {len(failed)} failed; hospitals dropped out {drops} times.",
            subject.entries(run, "round-opened", "survivors", "round-failed"), **_END),
        subject.evidenced(
            "What left the hospitals", "Masked vectors and signed messages; of the vectors only "
            "their sum was computed, and every one is in the log by its digest.",
            subject.entries(run, "masked-blobs", "sum", "transcript"), **_END),
        subject.evidenced(
            "Paid before it was sent", "In every round each hospital signed the head of its "
            "ledger, in which the release is booked.",
            subject.entries(run, "ledger-heads"), **_END),
    )  # fmt: skip
    return Claims(title=f"Course of run {run}", items=items)


def result_claims(subject: ReportSubject, dossier: Dossier) -> Claims:
    """Returns what came out: released figures with intervals, and the model."""
    run = dossier.run_id
    released = subject.entries(run, "release")
    items = [
        subject.evidenced(
            kind.label,
            f"{kind.label} of all test patients, released with noise: "
            f"{_figure(dossier, kind)}.",
            released, **_END,
        )
        for kind in dossier.figures.pooled
        if kind.name in dossier.released
    ]  # fmt: skip
    if not items:
        items = [subject.evidenced("Figures", "No figure was released.", (), **_END)]
    if dossier.has_model:
        whose = "run's model" if dossier.trains else "model that was evaluated"
        items.append(
            subject.evidenced(
                "Model",
                f"The {whose} has digest {dossier.model_digest}."
                if dossier.model_digest
                else "The run gave no model.",
                subject.entries(run, "snapshot", "run-finished") if dossier.model_digest else (),
                **_END,
            )
        )
    if dossier.signed is not None:
        items.append(_signed_claim(subject, dossier, dossier.signed))
    for warning in dossier.warnings:
        items.append(subject.evidenced("Warning", f"{warning}.", released, **_END))
    return Claims(title=f"Results of run {run}", items=tuple(items))


def _signed_claim(subject: ReportSubject, dossier: Dossier, signed: SnapshotFacts) -> ReportClaim:
    """Returns who signed the snapshot of a run's model, and on which terms it is released."""
    entries = subject.with_payload("snapshot-signed", signed.digest)
    terms = f" Licence {signed.licence}: {signed.permitted_use}" if signed.licence else ""
    by = ", ".join(signed.signed_by) or "none"
    return subject.evidenced(
        "Signed snapshot",
        f"The coordinator and {len(signed.signed_by)} of {signed.hospitals} hospitals ({by}) "
        f"signed snapshot {signed.digest}; {signed.quorum} must.{terms}",
        entries,
        why="the log has no entry of it",
        remedy="collegium audit verify",
    )


def _figure(dossier: Dossier, kind: FigureKind) -> str:
    """Returns a released figure with its interval, or why there is none."""
    found = dossier.released[kind.name]
    interval = "" if found.low is None else ", with its 95 % interval"
    return f"{show(found, kind.form)}{interval}"


def software_claims(subject: ReportSubject, dossier: Dossier) -> Claims:
    """Returns what the run was made with, as the coordinator's software recorded it."""
    names = ", ".join(f"{name} {text}" for name, text in sorted(dossier.environment.items()))
    item = subject.evidenced(
        "Software",
        f"{names or 'Nothing was recorded'}. The coordinator's software alone said so.",
        subject.entries(dossier.run_id, "run-started", "run-finished") if names else (),
        why="the environment of this run was not recorded",
        remedy="run it with this version",
    )
    return Claims(title=f"Software of run {dossier.run_id}", items=(item,))


def red_team_claims(subject: ReportSubject) -> Claims:
    """Returns what red teams found, or that none attacked."""
    runs = {one.run_id for one in subject.dossiers}
    found = [one for one in subject.facts.red_team if one.run_id in runs]
    items = tuple(
        subject.evidenced(
            f"Red team, run {one.run_id}",
            _found_by(one),
            subject.entries(one.run_id, "redteam"),
            why="the log has no entry of it",
            remedy="collegium audit verify",
        )
        for one in found
    )
    lacking = subject.evidenced(
        "Red team",
        "No red team has attacked these runs.",
        (),
        why="collegium redteam was not used on them",
        remedy="collegium redteam STUDY (before a run), or RUN",
    )
    return Claims(title="Attacks that were tried", items=items or (lacking,))


def _found_by(one: RedTeamFacts) -> str:
    """Returns what a red team found in words, each figure with its interval, or why it lacks."""
    said = (
        "It contradicted the claim: " + "; ".join(one.reasons) + "."
        if one.contradicted
        else "It did not contradict the claim. That proves nothing: an attack bounds ε from below."
    )
    on = " It attacked a training of the study on drawn records, for the run's are its hospitals'."
    figures = "".join(f" {figure.kind.title}: {figure.text}." for figure in one.figures)
    return f"{said}{on * one.stand_in}{figures}"
