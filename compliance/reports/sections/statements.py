"""Statements that stand above a run: what it claims, what limits it, whether its log holds."""

from dataclasses import replace

from compliance.facts.dossier import Dossier, LogVerification
from compliance.facts.formatting import Format, show
from compliance.privacy.rounding import percent
from compliance.reports.document import WATERMARK, Statement, Tone
from protocol.counted import counted

_STATES = {
    "finished": ("The run finished.", Tone.GOOD),
    "running": ("The run is still at work: its figures are not final.", Tone.CAUTION),
    "interrupted": ("The run was interrupted: its process ended before the run did.", Tone.BAD),
    "stopped": ("The run was stopped before its end.", Tone.CAUTION),
    "failed": ("The run failed: it yielded no model to use.", Tone.BAD),
    "refused": ("The run was refused before any work.", Tone.BAD),
}


def claim(dossier: Dossier) -> Statement:
    """Returns the privacy claim, or the statement that there is none."""
    if not dossier.sites:
        return Statement(
            text="No privacy is claimed: no hospital had signed a summary.",
            detail="The record holds no hospital's signed statement of budget and mechanism.",
            tone=Tone.BAD,
        )
    if dossier.protected:
        units = {s.privacy.unit for s in dossier.sites}
        level = "Patient" if units == {"patient"} else "Record"
        return Statement(text=f"{level}-level differential privacy.", detail=dossier.claim)
    reason = dossier.claim.removeprefix("No privacy is claimed: ")
    return Statement(
        text="No privacy is claimed.",
        detail=f"{reason[:1].upper()}{reason[1:]} Its model and figures may reveal what is in "
        "single patients' records.",
        tone=Tone.BAD,
    )


#: Of a run whose strategy leaves each hospital with a model of its own.
OWN_MODELS = Statement(
    text="A model for each hospital.",
    detail="It stays there. Every figure here is of the hospitals' own models on their own test "
    "patients; the model that the coordinator keeps is the global one.",
)
#: Beside it, where anything is claimed: every strategy's local rule is given noised gradients only.
OWN_MODELS_COVERED = (
    "An own model is made of clipped and noised gradients and of sums, so the claim covers it too."
)


def banner(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns what must be read first: the state, the claim, and whether this is a simulation."""
    text, tone = _STATES.get(dossier.state, (f"The run is {dossier.state}.", Tone.CAUTION))
    took = "" if dossier.seconds is None else f", took {show(dossier.seconds, Format.SECONDS)}"
    when = f"Run {dossier.run_id}, started {show(dossier.started_at, Format.TIME)}{took}."
    why = f"{dossier.failure}. " if dossier.failure else ""
    state = Statement(text=text, detail=why + when, tone=tone)
    simulated = Statement(
        text="A simulation on one machine.",
        detail="The hospitals ran side by side over an in-memory link. Figures marked simulation "
        "only are exact and unprotected; a real consortium could not compute them.",
    )
    useless = tuple(_useless(warning) for warning in dossier.warnings)
    return (
        state,
        *useless,
        *_sweep(dossier),
        *_beside(dossier),
        claim(dossier),
        *_own_models(dossier),
        *_earlier_model(dossier),
        *((simulated,) if dossier.simulation else ()),
    )


def _own_models(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns whose figures these are where each hospital has a model of its own."""
    if not dossier.has_own_models:
        return ()
    if not dossier.protected:
        return (OWN_MODELS,)
    detail = f"{OWN_MODELS.detail} {OWN_MODELS_COVERED}"
    return (replace(OWN_MODELS, detail=detail),)


def _earlier_model(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns that a run ended with an earlier model, whose figure is the best of several."""
    if dossier.course is None or dossier.course.earlier_end is None:
        return ()
    return (
        Statement(
            text="Rounds were taken back.", detail=dossier.course.earlier_end, tone=Tone.CAUTION
        ),
    )


def _beside(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns that other runs showed the same patients without privacy, where this one protects."""
    runs = dossier.unprotected_runs
    if not (runs and dossier.protected):
        return ()
    named = ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
    return (
        Statement(
            text="The same patients were also used without privacy.",
            detail=f"{counted(len(runs), 'simulated run')} without differential privacy began "
            f"before this one ended ({named}). That costs no budget, and nothing bounds what it "
            "shows: the claim is about this run alone.",
            tone=Tone.CAUTION,
        ),
    )


def _sweep(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns what all runs of a sweep cost the same patients; nothing of a run on its own."""
    if dossier.sweep_share is None:
        return ()
    budgets = [s.privacy.budget_epsilon for s in dossier.sites if s.privacy.budget_epsilon]
    of = f" of ε = {show(max(budgets), Format.NUMBER)}" if budgets else ""
    return (
        Statement(
            text="One of several runs on the same patients.",
            detail=f"At most {percent(dossier.sweep_share)} of a patient's budget for life{of} was "
            "booked, by this sweep's runs and those before it, whenever one of them ended. Every ε "
            "below is of this run alone.",
            tone=Tone.CAUTION,
        ),
    )


def _useless(warning: str) -> Statement:
    found, _, advice = warning.partition(": ")
    return Statement(
        text=f"{found}.", detail=f"{advice[:1].upper()}{advice[1:]}", tone=Tone.CAUTION
    )


def verification(dossier: Dossier) -> Statement:
    """Returns whether the records behind a run's document were verified; if not, its watermark."""
    audit = dossier.audit
    newest = show(audit.entries[-1].time, Format.TIME) if audit.entries else "no entry"
    return verified(dossier.verification, f"at entry {audit.size:,} of the signed log ({newest})")


def verified(found: LogVerification | None, where: str = "by the signed log") -> Statement:
    """Returns what came of verifying a folder, ``where`` in its log; if nothing, a watermark."""
    if found is None:
        return Statement(
            text=f"{WATERMARK}: the records behind this document were not held to the signed log.",
            detail="collegium audit verify --out FOLDER does that.",
            tone=Tone.BAD,
        )
    if found.faults:
        return Statement(
            text=f"{WATERMARK}: the records behind this document are not what was logged.",
            detail=f"{'; '.join(found.faults)}. Do not rely on anything below.",
            tone=Tone.BAD,
        )
    return Statement(
        text=f"Verified {where}, key {found.key}.",
        detail="Every record of the folder is what its log says. Compare the key with the one in "
        "the consortium's roster. Times, environment, why a run failed, whether it was a "
        "simulation and of which sweep, a simulation's exact figures, and what a red team found "
        "are logged by the coordinator alone: no hospital has signed them.",
        tone=Tone.GOOD,
    )


def made_from(dossier: Dossier) -> str:
    """Returns the sentence below a document: of which run and log it was made."""
    version = dossier.environment.get("collegium", "")
    return (
        f"Made by Collegium {version} from run {dossier.run_id} and the audit log of "
        f"{dossier.audit.size:,} entries. The same records give the same document, byte for byte."
    ).replace("  ", " ")
