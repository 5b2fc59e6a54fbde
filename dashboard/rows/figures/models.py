"""Released models: which run made each, how good it is, what it cost a patient, where its file is.

A model is known by the digest of its tensors. What becomes of a model after its run, a registry
would say; here stands what the runs say of it.
"""

import re
from collections.abc import Sequence

from compliance.charts.descriptions import site_claim
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format, show
from coordinator.views.one_run.run_summary import RunSummary
from dashboard.rows.words import plain
from dashboard.texts import say

#: So many digits tell models of one folder apart; the whole digest stands with each model.
_DIGITS = 12
_DIGEST, _IN_CODE = re.compile(r"[0-9a-f]{64}"), r"`\g<0>`"


def released_models(runs: Sequence[RunSummary]) -> tuple[RunSummary, ...]:
    """Returns the runs that ended with a model, the newest first."""
    made = [run for run in runs if run.state == "finished" and run.model_digest]
    return tuple(sorted(made, key=lambda run: run.started_at, reverse=True))


def model_rows(runs: Sequence[RunSummary]) -> list[dict[str, str]]:
    """Returns a row for each model."""
    return [
        {
            say("models.model"): short_digest(run),
            say("models.study"): run.study_name,
            say("models.date"): run.started_at[:10],
            say("models.figure"): f"{run.figure.label} {headline(run)}",
            say("models.privacy"): privacy_of(run),
            say("models.run"): run.run_id,
        }
        for run in runs
    ]


def model_label(run: RunSummary) -> str:
    """Returns the line that tells a model from the others."""
    return f"{short_digest(run)} · {run.study_name} · {run.started_at[:10]} · {run.run_id}"


def short_digest(run: RunSummary) -> str:
    """Returns the beginning of a model's digest."""
    return (run.model_digest or "")[:_DIGITS]


def headline(run: RunSummary) -> str:
    """Returns the released figure with its interval, or why there is none; else an exact one."""
    if run.released is not None:
        return show(run.released, run.figure.form)
    if run.exact is not None:
        return say("models.exact", value=show(run.exact, run.figure.form))
    return show(Interval(value=None, low=None, high=None, note=say("models.nothing")))


def privacy_of(run: RunSummary) -> str:
    """Returns what was promised to one patient; that nothing was, where that is so."""
    if run.test_noise:
        return say("models.test_noise")
    if run.epsilon is None:
        return say("models.without_privacy")
    return f"ε = {show(run.epsilon, Format.EPSILON)}"


def lineage(dossier: Dossier) -> list[tuple[str, str]]:
    """Returns what a model comes from, as far as its run says it: facts, each with its name."""
    started = (dossier.study.get("task", {}).get("pretrained") or {}).get("sha256")
    rosters = [entry for entry in dossier.audit.entries if entry.type == "roster"]
    hospitals = ", ".join(site.site for site in dossier.sites) or say("models.unknown")
    claims = [claim for site in dossier.sites if (claim := site_claim(site)) is not None]
    claimed = dossier.protected and claims
    facts = {
        "digest": dossier.model_digest or "",
        "file": dossier.snapshot or say("models.unknown"),
        "study_digest": dossier.study_digest,
        "parent": say("models.from_file", digest=started) if started else say("models.from_seed",
                                                                           seed=dossier.seed),
        "hospitals": hospitals,
        "roster": say("models.entry", index=rosters[-1].index, payload=rosters[-1].payload)
        if rosters else say("models.unknown"),
        "claim": show(max(claims), Format.EPSILON) if claimed else say("models.without_privacy"),
        "log": say("models.head", size=dossier.audit.size, root=dossier.audit.root),
    }  # fmt: skip
    return [(say(f"models.fact_{name}"), value) for name, value in facts.items()]


def lineage_list(dossier: Dossier) -> str:
    """Returns the lineage as a list in Markdown, whose digests are whole and can be copied."""
    return "\n".join(
        f"- {plain(name)}: {_DIGEST.sub(_IN_CODE, plain(value))}"
        for name, value in lineage(dossier)
    )


def loading(dossier: Dossier) -> str:
    """Returns the lines of Python that load a model and hold it to its digest."""
    return (
        "import collegium as cg\n\n"
        f'run = cg.open("OUT").run("{dossier.run_id}")\n'
        "model = run.load_model()"
    )


def warnings_of(dossier: Dossier) -> tuple[str, ...]:
    """Returns what must be known before a model is used, safe for a page."""
    return tuple(plain(one) for one in dossier.warnings)
