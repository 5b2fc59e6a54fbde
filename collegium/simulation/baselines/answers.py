"""The answers of a comparison with baselines, in sentences and names for page and terminal.

A model is called better than another at a hospital only where the interval of their difference
leaves out 0.
"""

from collections.abc import Iterator, Sequence

from collegium.simulation.baselines.findings import BaselineFindings, Lead, ModelFigures
from collegium.simulation.baselines.plan import (
    ALL_BUT,
    FEDERATED,
    LOCAL,
    POOLED,
    key_of,
    noise_text,
    text_of,
)
from protocol.counted import counted

#: Of all hospitals' test patients together.
EVERYBODY = "all together"
#: What stands beside every exact figure of a comparison.
EXACT = (
    "Every figure here is exact, of simulated hospitals whose records lie on this machine. None of "
    "it is differentially private: of real patients none of it may be published."
)
#: The ways to train, in the order in which they are shown, and what each is called.
ORDER = (LOCAL, ALL_BUT, FEDERATED, POOLED)
TITLES = {
    LOCAL: "the hospital alone",
    ALL_BUT: "all but this hospital",
    FEDERATED: "federated",
    POOLED: "pooled records",
}


def model_about(
    findings: BaselineFindings, kind: str, site: str | None, *, noised: bool
) -> ModelFigures | None:
    """Returns the model of a kind that is about a hospital; of all together only two are."""
    if kind in (FEDERATED, POOLED):
        return findings.model(kind, None, noised=noised)
    return None if site is None else findings.model(kind, site, noised=noised)


def answers(findings: BaselineFindings) -> Iterator[str]:
    """Yields, for each way of protecting, where the federation is better than a hospital alone."""
    ways = [(noised, noised) for noised in findings.levels]
    if len(findings.levels) > 1:
        ways.append((True, False))
    for noised, own in ways:
        leads = list(leads_over_local(findings, federated=noised, local=own))
        how = (
            f"The federated model {noise_text(noised=noised)}, against each hospital alone "
            f"{noise_text(noised=own)}"
        )
        parts = [
            f"{words} {_names(named)}"
            for verdict, words in (
                ("better", "better at"),
                ("worse", "worse at"),
                ("not told apart", "not told apart at"),
                ("too few", "too few test patients to say at"),
            )
            if (named := [lead.tested or "" for lead in leads if lead.verdict == verdict])
        ]
        yield f"{how}: {'; '.join(parts) or 'no figure'}."


def _names(sites: Sequence[str]) -> str:
    if len(sites) > 6:
        return counted(len(sites), "hospital")
    return ", ".join(sites)


def leads_over_local(findings: BaselineFindings, *, federated: bool, local: bool) -> Iterator[Lead]:
    """Yields the federation's lead over each hospital alone, each with noise or without."""
    first = key_of(FEDERATED, None, noised=federated)
    for size in findings.hospitals:
        second = key_of(LOCAL, size.site, noised=local)
        yield from (
            lead
            for lead in findings.leads
            if (lead.tested, lead.first, lead.second) == (size.site, first, second)
        )


def sentence_of(lead: Lead) -> str:
    """Returns what a lead says, as a sentence."""
    first, second = model_name(lead.first, lead.tested), model_name(lead.second, lead.tested)
    return f"{first} is {lead.verdict} than {second}"


def model_name(key: str, tested: str | None) -> str:
    """Returns a model's name as it stands in a table of one hospital's patients."""
    name, _, noise = key.partition(" with")
    kind, _, site = name.partition("/")
    how = noise_text(noised=not noise.startswith("out"))
    return f"{text_of(kind, site or tested)}, {how}"
