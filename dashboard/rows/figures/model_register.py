"""The register of models: a row for each version, its gates, its history, who serves which."""

from collections.abc import Sequence

from compliance.facts.formatting import Format, show
from compliance.governance.models.gate import Gate
from compliance.governance.models.stages import EventKind, Stage, StageEvent
from coordinator.views.several_runs.models import ModelLineView, ModelVersion
from dashboard.texts import say

#: So many digits tell versions of one consortium apart.
_DIGITS = 12


def version_rows(line: ModelLineView) -> list[dict[str, str]]:
    """Returns a row for each version of a model, the one with the newest event first."""
    aliases: dict[str, list[str]] = {}
    for alias, version in sorted(line.line.state.aliases.items()):
        aliases.setdefault(version, []).append(alias)
    return [
        {
            say("models.version"): one.snapshot.digest[:_DIGITS],
            say("models.stage"): stage_of(one),
            say("models.names"): ", ".join(aliases.get(one.snapshot.digest, ())) or "—",
            say("models.figure"): figure_of(one),
            say("models.privacy"): epsilon_of(one),
            say("models.signatures"): f"{one.signatures} / {len(one.snapshot.sites)}",
            say("models.run"): one.snapshot.run,
        }
        for one in line.versions
    ]


def gate_rows(gates: Sequence[Gate]) -> list[dict[str, str]]:
    """Returns a row for each gate: what it is, how it stands, by what it is judged."""
    return [
        {
            say("models.gate"): gate.name,
            say("models.result"): say(f"models.gate_{gate.result}"),
            say("models.judged_by"): gate.said,
        }
        for gate in gates
    ]


def attack_rows(one: ModelVersion) -> list[dict[str, str]]:
    """Returns a row for each figure of attacks on a version, also for those that are missing."""
    return [
        {
            say("models.attack"): say(f"models.attack_{figure.kind.name.replace('-', '_')}"),
            say("models.found"): "—" if figure.found is None else show(figure.found, Format.RATIO),
            say("models.guessing"): f"{figure.kind.guess:g}",
            say("models.about"): figure.missing or figure.beside,
        }
        for figure in one.attack_figures
    ]


def history_rows(line: ModelLineView) -> list[dict[str, str]]:
    """Returns a row for each event of a model, the newest first."""
    return [
        {
            say("models.time"): event.time[:16].replace("T", " "),
            say("models.event"): _event(event),
            say("models.version"): event.version[:_DIGITS],
            say("models.by"): event.by or say("models.by_rule"),
            say("models.why"): event.reason or "—",
        }
        for event in reversed(line.line.events)
    ]


def serving_rows(line: ModelLineView) -> list[dict[str, str]]:
    """Returns a row for each hospital that any version was signed by: what it is to serve now."""
    sites = sorted({site for one in line.versions for site in one.snapshot.sites})
    state, rows = line.line.state, []
    for site in sites:
        version = state.served_at(site)
        tries = say("models.tries") if site in state.canary_sites else ""
        told = say("models.serves_none") if version is None else f"{version[:_DIGITS]} {tries}"
        rows.append({say("models.hospital"): site, say("models.serves"): told.strip()})
    return rows


def version_label(one: ModelVersion) -> str:
    """Returns the line that tells a version from the others."""
    stage = "" if one.stage is None else f" · {stage_of(one)}"
    return f"{one.snapshot.digest[:_DIGITS]} · {one.study} · {one.snapshot.run}{stage}"


def stage_of(one: ModelVersion) -> str:
    """Returns the name of a version's stage."""
    return say(f"models.stage_{one.stage or Stage.CANDIDATE}")


def figure_of(one: ModelVersion) -> str:
    """Returns the released headline with its interval; a dash where there is none."""
    if one.headline is None:
        return "—"
    return f"{one.figure} {show(one.headline, Format.RATIO)}"


def epsilon_of(one: ModelVersion) -> str:
    """Returns what was promised to one patient; that nothing was, where that is so."""
    if one.epsilon is None:
        return say("models.without_privacy")
    return f"ε = {show(one.epsilon, Format.EPSILON)}"


def of_stage(line: ModelLineView, *stages: Stage) -> tuple[ModelVersion, ...]:
    """Returns the versions of a model that are in one of the stages."""
    return tuple(one for one in line.versions if one.stage in stages)


def unregistered(
    lines: Sequence[ModelLineView], snapshots: Sequence[ModelVersion]
) -> tuple[ModelVersion, ...]:
    """Returns the snapshots that enough hospitals signed and that are in no model yet."""
    known = {one.snapshot.digest for line in lines for one in line.versions}
    return tuple(
        one
        for one in snapshots
        if one.snapshot.digest not in known and one.signatures >= one.snapshot.quorum
    )


def _event(event: StageEvent) -> str:
    name = say(f"models.event_{event.kind.replace('-', '_')}")
    if event.kind is EventKind.CANARY_BEGUN:
        return f"{name}: {', '.join(event.sites)}"
    return f"{name}: {event.alias}" if event.alias else name
