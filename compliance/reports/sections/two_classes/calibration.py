"""The part of a report about calibration: the curve drawn, as a table, and what it says."""

from compliance.charts.binned_scores.calibration import calibration, describe_calibration
from compliance.charts.theme import to_svg
from compliance.estimates.binned_scores.calibration import CalibrationPoint
from compliance.facts.dossier import Dossier
from compliance.facts.figures import ECE
from compliance.facts.formatting import Format, show
from compliance.reports.document import Block, Columns, Figure, Paragraph, Section, Table, table_of

COVERED = (
    "Groups are neighbouring bins of scores; where in a bin scores lie is estimated. Bars are 95 % "
    "intervals for the noise and the sampling of the patients, of each group by itself: of a "
    "calibrated model, too, now and then a group's bar misses the dashed line."
)


def calibration_table(dossier: Dossier) -> Table:
    """Returns the calibration curve's points."""
    words = dossier.figures.calibrated
    columns: Columns[CalibrationPoint] = (
        ("Part of all patients", Format.RATIO, lambda p: p.part),
        (f"{words.said.capitalize()} by the model", Format.RATIO, lambda p: p.risk),
        (words.true.capitalize(), Format.RATIO, lambda p: p.ill),
    )
    return table_of(
        "Calibration by groups of scores, released", dossier.calibration, columns, note=COVERED
    )


def not_drawn(dossier: Dossier) -> str:
    """Returns why no curve can be drawn; an empty string where one can."""
    points = dossier.calibration
    if any(p.ill.value is not None and p.risk.value is not None for p in points):
        return ""
    note = next((p.ill.note or p.risk.note for p in points), "") or "none was released"
    return f"Nothing is known of the calibration: {note}."


def error_sentence(dossier: Dossier) -> str:
    """Returns what the expected calibration error says, in a sentence."""
    found = dossier.released.get(ECE.name)
    if found is None or found.value is None or found.low is None:
        return ""
    said = (
        "what chance and noise alone would bring"
        if found.low <= 0
        else f"at least {found.low:.3f} of it neither chance nor noise brings"
    )
    words = dossier.figures.calibrated
    return (
        f"Expected calibration error (ECE), the mean distance of a group's {words.said} from its "
        f"{words.true}: {show(found, Format.RATIO)}, {said}."
    )


def recalibration_sentence(dossier: Dossier) -> str:
    """Returns how the risks would be right and what that costs; empty where they may be right."""
    line = dossier.recalibration
    if line is None or not line.is_needed:
        return ""
    examples = " and ".join(
        f"a risk of {risk:g} becomes {line.risk(risk):.2g}" for risk in (0.1, 0.9)
    )
    instead = (
        " It takes the place of the number to add to the output: use one of the two."
        if dossier.risks is not None and dossier.risks.shift is not None
        else ""
    )
    whose, how = (
        ("the output of a hospital's own model", "")  # load_model gives the global one
        if dossier.has_own_models
        else ("the model's output", " In Python: run.load_model(recalibrated=True).")
    )
    return (
        "Recalibration costs no privacy, for it follows from the released counts, and changes no "
        f"order of patients: take {line.intercept:+.3g} {line.slope:+.3g} x {whose}, "
        f"the logit, for the logit of the risk (Platt's scaling); {examples}.{instead}{how}"
    )


def calibration_section(dossier: Dossier) -> Section:
    """Returns the calibration curve, or why there is none."""
    blocks: tuple[Block, ...]
    if unknown := not_drawn(dossier):
        blocks = (Paragraph(text=unknown),)
    else:
        words = dossier.figures.calibrated
        figure = Figure(
            title=words.title,
            svg=to_svg(calibration(dossier.calibration, words)),
            alt=describe_calibration(dossier.calibration, words),
            caption=f"{words.caption} {COVERED}",
            table=calibration_table(dossier),
        )
        said = (error_sentence(dossier), recalibration_sentence(dossier))
        blocks = (figure, *(Paragraph(text=sentence) for sentence in said if sentence))
    return Section(key="calibration", title="Calibration", blocks=blocks)
