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
            say("models.time"): _minute(event.time),
            say("models.event"): _event(event),
            say("models.version"): event.version[:_DIGITS],
            say("models.by"): event.by
            or say("models.by_rule" if event.is_by_rule else "models.by_none"),
            say("models.why"): event.reason or "—",
        }
        for event in reversed(line.line.events)
    ]


def serving_rows(line: ModelLineView) -> list[dict[str, str]]:
    """Returns a row for each hospital of the versions: what it is to serve, and what it stated."""
    sites = sorted({site for one in line.versions for site in one.snapshot.sites})
    state, rows = line.line.state, []
    for site in sites:
        version = state.served_at(site)
        tries = say("models.tries") if site in state.canary_sites else ""
        told = say("models.serves_none") if version is None else f"{version[:_DIGITS]} {tries}"
        rows.append(
            {
                say("models.hospital"): site,
                say("models.serves"): told.strip(),
                say("models.stated"): _stated(line, site),
            }
        )
    return rows


def disagreement_lines(line: ModelLineView) -> list[str]:
    """Returns a sentence for each time in which a hospital stated another version."""
    return [
        say(
            "models.disagrees",
            hospital=one.site,
            stated=one.stated[:_DIGITS],
            since=_minute(one.since),
            until=_minute(one.until),
            expected=say("models.serves_none") if one.expected is None else one.expected[:_DIGITS],
        )
        for one in line.disagreements
    ]


def _stated(line: ModelLineView, site: str) -> str:
    """Returns what a hospital's newest statement says of its end."""
    said = line.stated_by(site)
    if said is None:
        return say("models.stated_nothing")
    known = {one.snapshot.digest for one in line.versions}
    loaded = {one.snapshot for one in said.at(said.until) or () if one.snapshot in known}
    if not loaded:
        return say("models.stated_none", time=_minute(said.until))
    versions = ", ".join(sorted(str(one)[:_DIGITS] for one in loaded))
    return say("models.stated_at", version=versions, time=_minute(said.until))


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


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
    if event.kind in (EventKind.CANARY_BEGUN, EventKind.SERVED_STATED):
        return f"{name}: {', '.join(event.sites)}"
    return f"{name}: {event.alias}" if event.alias else name
