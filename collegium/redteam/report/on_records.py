"""The sections about single patients: who was a member, what an update and what a model show."""

import math

from collegium.redteam.findings import Findings
from compliance.estimates.interval import Interval
from compliance.facts.formatting import Format
from compliance.reports.document import Column, Paragraph, Section, Table
from pipelines.attacks.membership import FALSE_ALARMS, AttackEstimate

#: What each figure of exposure is about.
_EXPOSED = {
    "own-records": "training patients' own records, half of each unknown, by the run's own model",
    "inserted": "records that were inserted, by a model trained like the study's with them",
}


def membership_section(findings: Findings) -> Section:
    """Returns how well attacks tell who was a training patient."""
    if not findings.attacks:
        why = findings.missing.get("membership", "nothing was attacked")
        return Section(
            key="membership",
            title="Membership inference",
            blocks=(Paragraph(text=f"Not run: {why}."),),
        )
    first, claim = findings.attacks[0].found, findings.claim
    source = {
        "LiRA": "Carlini et al. 2022, arXiv 2112.03570",
        "RMIA": "Zarifzadeh et al. 2024, arXiv 2312.03262",
    }
    said = (
        _of_the_study(findings)
        if findings.view is not None
        else f"{first.attack} on {first.patients} patients of {findings.site}."
    )
    own = (
        " The last row attacks the run's own model: all hospitals train the reference models, and "
        "who was in it is known."
    ) * findings.target.attacks_own_model
    permitted = (
        "Nothing is claimed that would permit less. "
        if claim is None
        else "The claim permits at most "
        f"{min(1.0, math.exp(claim.epsilon) * FALSE_ALARMS + claim.delta):.3f} found at 1 % false "
        "alarms. "
    )
    text = Paragraph(text=f"{said}{own}")
    table = Table(
        title="Who was a training patient?",
        columns=(
            Column(title="Models trained"), Column(title="Steps", form=Format.COUNT),
            Column(title="AUROC of the attack", form=Format.RATIO),
            Column(title="Members found at 1 % false alarms", form=Format.RATIO),
            Column(title="Advantage", form=Format.RATIO),
        ),
        rows=tuple(
            (
                a.training, a.steps, interval_of(a.found.auroc), interval_of(a.found.true_alarms),
                interval_of(a.found.advantage),
            )
            for a in findings.attacks
        ),
        note=f"Guessing gives 0.5, 0.01 and 0. {permitted}The advantage is the share of members "
        "who are called members less that of others who are, by a limit that other patients chose. "
        f"Intervals: 95 %, by resampling models and patients. {source[first.attack]}.",
    )  # fmt: skip
    return Section(key="membership", title="Membership inference", blocks=(text, table))


def inversion_section(findings: Findings) -> Section:
    """Returns what an update shows of the records in it."""
    if not findings.inversions:
        text = (
            "Not run: this network does not begin with a linear layer that has a bias."
            if findings.view is not None
            else f"Not run: {findings.missing.get('noise', 'no update is attacked')}."
        )
        return Section(
            key="inversion", title="First-layer inversion", blocks=(Paragraph(text=text),)
        )
    before = Paragraph(
        text="Where a record meets a linear layer, the weights' gradient divided by the bias' "
        "gradient is the record. The best cosine with a true record, of all neurons, everybody "
        "being in the batch. What guessing gives is shown beside it: the best cosine with as many "
        "patients who were not in the update."
    )
    table = Table(
        title="The best recovered record",
        columns=(
            Column(title="What the attacker sees"),
            Column(title="Cosine with a patient in it", form=Format.RATIO),
            Column(title="Cosine with other patients", form=Format.RATIO),
        ),
        rows=tuple((i.seen, i.inside, i.outside) for i in findings.inversions),
        note=f"Noised: with the noise in {_title(findings)}. Means over 20 patients, or 5 draws "
        "of the noise. 1 is the record itself.",
    )
    return Section(key="inversion", title="First-layer inversion", blocks=(before, table))


def extraction_section(findings: Findings) -> Section:
    """Returns what a model gives away of single records."""
    text = Paragraph(
        text="Who knows a part of a record tries everything that the rest could be and asks the "
        "model which it finds likeliest. The exposure of a record is log2 of how many were tried, "
        "less log2 of its rank: the bits that the model gives away. Beside it stands what it says "
        "of patients whom it was not trained on, or what guessing gives; only the difference is a "
        "leak."
        + "".join(
            f" Not tried: {_EXPOSED[name]}; {findings.missing[name]}."
            for name in _EXPOSED
            if name in findings.missing
        )
    )
    table = Table(
        title="Extraction of records",
        columns=(
            Column(title="Records"), Column(title="How many", form=Format.COUNT),
            Column(title="Told from others", form=Format.COUNT),
            Column(title="Exposure, bits", form=Format.NUMBER),
            Column(title="Without training on them", form=Format.NUMBER),
            Column(title="Difference, bits", form=Format.NUMBER),
        ),
        rows=tuple(
            (
                _EXPOSED[name], found.records, found.others, round(found.bits, 2),
                round(found.usual, 2), interval_of(found.excess),
            )
            for name, found in findings.exposures.items()
        ),
        note="Intervals: 95 %, over the records. Carlini et al. 2019, arXiv 1802.08232.",
    )  # fmt: skip
    blocks = (text, table) if findings.exposures else (text,)
    return Section(key="extraction", title="Extraction from the model", blocks=blocks)


def interval_of(estimate: AttackEstimate) -> Interval:
    """Returns an attack's figure with its interval."""
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high)


def estimate_text(estimate: AttackEstimate) -> str:
    """Returns an attack's figure in words."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _title(findings: Findings) -> str:
    return "what is seen" if findings.view is None else findings.view.title


def _of_the_study(findings: Findings) -> str:
    first = findings.attacks[0].found
    idle = (
        " Here the control finds nothing that chance does not: on these records this attack says "
        "little."
    ) * (first.auroc.low <= 0.5)
    return (
        f"{first.attack} on {first.patients} patients of {findings.site}: {first.models} models, "
        "each trained on a random half by this hospital alone, with the noise in "
        f"{_title(findings)}; each is attacked with the help of the others. The control shows "
        f"whether the attack can find members among these records.{idle}"
    )
