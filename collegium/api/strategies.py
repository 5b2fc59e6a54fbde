"""Strategies beside each other, as the command ``compare`` trains them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from collegium.api.inputs import PathLike, as_path
from collegium.api.study import Study, records_of, study_of
from collegium.output.notebook_progress import watch_for
from collegium.simulation.baselines.run import require_free
from collegium.simulation.comparison.report import write_report
from collegium.simulation.comparison.run import compare_strategies
from collegium.simulation.settings import SimulationSettings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.reports.renderers import render_fragment
from compliance.reports.several_runs.strategies_page import strategies_page
from protocol.errors import StudyRefused


@dataclass(frozen=True)
class Comparison:
    """Strategies on the same hospitals, with pooled records as a reference.

    Every figure is exact: of simulated hospitals only, and not differentially private.

    Attributes:
        findings: all that was found; ``to_json()`` is the command's JSON.

    Example::

        strategies = cg.compare("study.yaml", ["fedavg", "mrmtl:pull=0.3"], data="records")
        strategies.summary().query("lead_low > 0")
    """

    findings: ComparisonFindings = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """Returns what each strategy reaches and costs, in the order asked for.

        Returns:
            A row for each: ``strategy``, ``value``, ``low``, ``high`` (of all test patients, 95 %),
            ``lead``, ``lead_low``, ``lead_high`` (over the first strategy on the same patients),
            ``worst`` and ``best`` (of the hospitals' figures), ``epsilon``, ``bytes_up``,
            ``bytes_down`` and ``seconds``.

        Example::

            strategies.summary()[["strategy", "value", "lead", "bytes_up"]]
        """
        rows = []
        for one in self.findings.to_json()["strategies"]:
            everybody, lead = one["everybody"], one["lead"] or {}
            rows.append(
                {"strategy": one["name"]}
                | {key: everybody[key] for key in ("value", "low", "high")}
                | {"lead": lead.get("value")}
                | {f"lead_{end}": lead.get(end) for end in ("low", "high")}
                | {end: (one[end] or {}).get("value") for end in ("worst", "best")}
                | {key: one[key] for key in ("epsilon", "bytes_up", "bytes_down", "seconds")}
            )
        figures = [key for key in rows[0] if key != "strategy"]
        return pd.DataFrame(rows).astype(dict.fromkeys(figures, float))

    def sites(self) -> pd.DataFrame:
        """Returns each strategy's figure on each hospital's test patients.

        Returns:
            A row for each pair: ``strategy``, ``site``, ``value``, ``low``, ``high`` and ``note``.

        Example::

            strategies.sites().pivot(index="strategy", columns="site", values="value")
        """
        rows = [
            {"strategy": one["name"], "site": site} | figure
            for one in self.findings.to_json()["strategies"]
            for site, figure in one["sites"].items()
        ]
        return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})

    def save(self, out: PathLike) -> Path:
        """Writes ``comparison.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

        Raises:
            WorkspaceRefused: it cannot be written, or is a real institution's folder.

        Example::

            strategies.save("comparison-out")
        """
        folder = as_path(out)
        require_free(folder)
        return write_report(self.findings, folder)

    def __repr__(self) -> str:
        table = self.summary().to_string(index=False)
        return f"Strategies compared of {self.findings.study.name}\n{table}"

    def _repr_html_(self) -> str:
        document = strategies_page(self.findings)
        blocks = [block for section in document.sections for block in section.blocks]
        return render_fragment(document.banner, blocks, title=document.title)


def compare(
    study: Study | PathLike,
    strategies: Sequence[str],
    *,
    data: PathLike | None = None,
    seeds: int = 5,
    progress: bool | None = None,
) -> Comparison:
    """Trains a study with several strategies and seeds, and compares them on the same patients.

    Args:
        study: a study, or the path of its document.
        strategies: each with keys of its own where it has some: ``"mrmtl:pull=0.3"``.
        data: the folder that holds the records the study names; bundled records need none.
        seeds: how often each is trained; with fewer than three a lead has no interval.
        progress: whether to show it; by default in a notebook and in a terminal.

    Raises:
        StudyRefused: the study cannot be read, or a strategy is unknown or does not fit it.
        CohortRefused: records are missing or do not fit the contract.

    Example::

        cg.compare("study.yaml", ["fedavg", "scaffold"], data="records", seeds=3).summary()
    """
    if seeds < 1:
        raise StudyRefused(f"seeds={seeds}: give 1 or more")
    chosen = study_of(study)
    settings = SimulationSettings(data=records_of(chosen, data))
    watch = watch_for(progress)
    return Comparison(
        compare_strategies(chosen.document, chosen.folder, settings, watch, strategies, seeds)
    )
