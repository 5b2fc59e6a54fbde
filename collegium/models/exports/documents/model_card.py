"""The model card: what the model is for, what it promises, how well it does, what it lacks.

Every figure is one that was released, with its interval; exact figures of a simulation stay out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collegium.models.exports.documents.inputs import inputs_and_outcome
from collegium.models.exports.documents.markdown import items, plain, table_text
from collegium.models.exports.released import ReleasedModel
from compliance.facts.dossier import Dossier, strongest_figures
from compliance.facts.dossier.preregistration import preregistration_outcome
from compliance.facts.figures import figure_kind
from compliance.facts.formatting import Format, show
from compliance.reports.one_run.performance_table import heterogeneity_table, performance_table
from compliance.reports.run_tables import criteria_table, privacy_table
from protocol.study.task.task import output_of

#: Limits that hold of every model.
_ALWAYS = (
    "It was evaluated on test patients of the hospitals named here; elsewhere it may do worse.",
    "Its outputs support a decision of people, and replace none.",
    "No regulator has approved it. Whoever uses it answers for that use.",
)


def model_card(
    released: ReleasedModel, fidelity: Mapping[str, Any], left_out: Mapping[str, str]
) -> str:
    """Returns the card as Markdown.

    Args:
        released: the model.
        fidelity: by form, how far its outputs are from the model's.
        left_out: by form, why it is not in the folder.
    """
    dossier, snapshot = released.dossier, released.snapshot
    lines = [
        f"# {plain(dossier.study_title)}",
        "",
        plain(dossier.study_purpose),
        "",
        *_warnings(dossier),
        "## Intended use",
        "",
        plain(snapshot.permitted_use or "The study declares no permitted use: ask the consortium."),
        "",
        *items(
            [
                ("Licence", snapshot.licence or "none declared"),
                ("Input", f"{released.study.cohort.kind}; each record encoded as study.json says"),
                ("Output", output_of(released.study.task)),
            ]
        ),
        "## Inputs and outcome",
        "",
        *items(inputs_and_outcome(released.study)),
        "## Identity",
        "",
        *items(_identity(released)),
        "## Privacy",
        "",
        plain(dossier.claim),
        "",
        *table_text(privacy_table(dossier)),
        "## Performance",
        "",
        *_performance(dossier),
        *_preregistration(dossier),
        "## Attacks on the claim",
        "",
        *_red_team(released),
        "## Limits",
        "",
        *(f"* {plain(limit)}" for limit in (*_limits(dossier), *_ALWAYS)),
        "",
        "## Forms in this folder",
        "",
        *_forms(fidelity, left_out),
        "## How to verify it",
        "",
        "`collegium models verify FOLDER --key LOGKEY` checks everything, with the public key of "
        "the consortium's log. `python -m model_signing verify key FOLDER --signature "
        "FOLDER/model.sig --public_key FOLDER/release.pub` checks the files with the reference "
        "implementation of OpenSSF model signing.",
    ]
    return "\n".join(lines) + "\n"


def _warnings(dossier: Dossier) -> list[str]:
    said = [
        *(["This model comes from a simulation."] if dossier.simulation else []),
        *(["It was trained with fixed test noise, which protects nobody."]
          if dossier.test_noise else []),
        *([f"The run is marked {dossier.state}: {dossier.failure}"] if dossier.failure else []),
        *dossier.warnings,
    ]  # fmt: skip
    return [line for one in said for line in (f"> **Warning:** {plain(one)}", "")]


def _identity(released: ReleasedModel) -> list[tuple[str, str]]:
    snapshot = released.snapshot
    signed = f"{len(released.signed.signatures)} of {len(snapshot.sites)} hospitals"
    return [
        ("Snapshot", snapshot.digest),
        ("Model (tensor digest)", snapshot.model),
        ("Study", f"{released.study.name}, {snapshot.study}"),
        ("Run", f"{snapshot.run}, after {snapshot.round} rounds"),
        ("Hospitals", ", ".join(snapshot.sites)),
        ("Signed by", f"{signed} ({snapshot.quorum} must) and the coordinator"),
        ("Created", show(snapshot.created, Format.TIME)),
    ]


def _performance(dossier: Dossier) -> list[str]:
    if not dossier.released:
        return ["No figure was released.", ""]
    return [
        *table_text(performance_table(dossier)),
        *table_text(heterogeneity_table(dossier)),
    ]


def _preregistration(dossier: Dossier) -> list[str]:
    """Returns the outcome of a preregistration; nothing of a study without one."""
    said = preregistration_outcome(dossier)
    if said is None:
        return []
    return [
        "## Preregistration",
        "",
        plain(f"{said.sentence} {said.timing}"),
        "",
        *table_text(criteria_table(said)),
        *items(
            [
                *(("Deviation, found in the records", one.text) for one in said.found),
                *(
                    ("Deviation, declared", f"{one.text} ({said.declared_text(one)})")
                    for one in said.declared
                ),
            ]
        ),
    ]


def _red_team(released: ReleasedModel) -> list[str]:
    figures = [(one.kind.title, one.text) for one in strongest_figures(released.red_team)]
    if not released.red_team:
        said = "No red team has attacked this run: `collegium models attack` does."
        return [said, "", *items(figures)]
    stand_in = [
        "The run was made by real hospitals, so its own model was not attacked: a training of its "
        "study, on drawn records that are nobody's, was attacked in its place.",
        "",
    ] * any(one.stand_in for one in released.red_team)
    explained = [
        "Membership: can an attacker who knows everybody's records tell who was a training "
        "patient? Extraction: can one who knows half of a record read the rest from the model? "
        "Intervals are of 95 %. That an attack finds little proves nothing: a better one may come.",
        "",
    ]
    return [*stand_in, *_found(released), *explained, *items(figures)]


def _found(released: ReleasedModel) -> list[str]:
    return items(
        (
            show(one.found_at, Format.TIME),
            f"the claim is contradicted: {'; '.join(one.reasons)}"
            if one.contradicted
            else "no attack contradicted the claim; that proves nothing more",
        )
        for one in released.red_team
    )


def _limits(dossier: Dossier) -> Sequence[str]:
    withheld = sorted(
        figure_kind(name).title for name, found in dossier.released.items() if found.value is None
    )
    return [
        *([f"Of {', '.join(withheld)} nothing could be said: too few patients for the noise."]
          if withheld else []),
        *(["Figures are of the hospitals' own models; this is the global one."]
          if dossier.has_own_models else []),
        *([f"{', '.join(dossier.without_groups)} counted no groups of patients."]
          if dossier.without_groups else []),
    ]  # fmt: skip


def _forms(fidelity: Mapping[str, Any], left_out: Mapping[str, str]) -> list[str]:
    lines = [
        (
            name,
            f"{', '.join(one['files'])}; largest difference from the model on reference inputs "
            f"{one['largest_difference']:.2g}",
        )
        for name, one in fidelity.items()
    ]
    return items([*lines, *((name, f"left out: {why}") for name, why in left_out.items())])
