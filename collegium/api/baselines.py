"""A federation beside its baselines, as the command ``baselines`` compares them."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from collegium.api.frames import flat
from collegium.api.inputs import PathLike, as_path
from collegium.api.study import Study, records_of, study_of
from collegium.output.notebook_progress import watch_for
from collegium.simulation.baselines.report import write_report
from collegium.simulation.baselines.run import USUAL_DRAWS, compare_baselines, require_free
from collegium.simulation.settings import SimulationSettings
from compliance.facts.comparison.baselines import BaselineFindings
from compliance.reports.renderers import render_fragment
from compliance.reports.several_runs.baselines_page import baselines_page
from protocol.errors import StudyRefused


@dataclass(frozen=True)
class Baselines:
    """A comparison of the federation with each hospital alone, pooled records and all but one.

    Every figure is exact: of simulated hospitals only, and not differentially private.

    Attributes:
        findings: all that was found; ``to_json()`` is the command's JSON.

    Example::

        compared = cg.baselines("study.yaml", data="records")
        compared.leads().query("verdict == 'better'")
    """

    findings: BaselineFindings = field(repr=False)

    def models(self) -> pd.DataFrame:
        """Returns the headline figure of every model on every hospital's test patients.

        Returns:
            A row for each model (``kind``: local, federated, pooled, all_but; ``site``: who trains
            alone, or is left out) and hospital ``tested`` (missing: all together), with and without
            ``noise``: ``value``, ``low``, ``high`` (95 %), and ``note``, why there is none.

        Example::

            compared.models().query("kind == 'local' and not noise")  # the cross-site matrix
        """
        rows = [
            {key: model[key] for key in ("kind", "site", "noise", "trainings", "train_patients")}
            | one
            for model in self.findings.to_json()["models"]
            for one in model["on"]
        ]
        return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})

    def leads(self) -> pd.DataFrame:
        """Returns how much better one model is than another on the same test patients.

        Returns:
            A row for each pair: ``tested``, ``first``, ``second``, ``value`` (above zero the first
            is the better one, of an error too), ``low``, ``high`` (95 %), ``note`` and ``verdict``:
            better or worse only where the interval leaves out 0.

        Example::

            compared.leads()[["tested", "first", "second", "verdict"]]
        """
        rows = [flat(lead) for lead in self.findings.to_json()["leads"]]
        return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})

    def save(self, out: PathLike) -> Path:
        """Writes ``baselines.html``, ``.json`` and ``.csv`` to a folder; returns the page's path.

        Raises:
            WorkspaceRefused: it cannot be written, or is a real institution's folder.

        Example::

            compared.save("baselines-out")
        """
        folder = as_path(out)
        require_free(folder)
        return write_report(self.findings, folder)

    def __repr__(self) -> str:
        table = self.leads()[["tested", "first", "second", "value", "low", "high", "verdict"]]
        return f"Baselines of {self.findings.study.name}\n{table.to_string(index=False)}"

    def _repr_html_(self) -> str:
        document = baselines_page(self.findings)
        blocks = [block for section in document.sections[:3] for block in section.blocks]
        return render_fragment(document.banner, blocks, title=document.title)


def baselines(
    study: Study | PathLike,
    *,
    data: PathLike | None = None,
    draws: int = USUAL_DRAWS,
    progress: bool | None = None,
) -> Baselines:
    """Compares the federation with each hospital alone, pooled records, and all but one.

    Args:
        study: a study, or the path of its document.
        data: the folder that holds the records the study names; bundled records need none.
        draws: how often each training is repeated that draws noise or batches.
        progress: whether to show it; by default in a notebook and in a terminal.

    Raises:
        StudyRefused: the study cannot be read, trains nothing, or cannot keep what it promises.
        CohortRefused: records are missing or do not fit the contract.

    Example::

        cg.baselines("study.yaml", data="records", draws=3).models()
    """
    if draws < 1:
        raise StudyRefused(f"draws={draws}: give 1 or more")
    chosen = study_of(study)
    settings = SimulationSettings(data=records_of(chosen, data))
    return Baselines(
        compare_baselines(chosen.document, chosen.folder, settings, watch_for(progress), draws)
    )
