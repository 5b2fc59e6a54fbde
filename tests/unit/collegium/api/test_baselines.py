"""Baselines in Python: tables of figures and leads, files, and what is refused."""

from pathlib import Path

import pytest

import collegium as cg
from protocol.errors import CohortRefused, StudyRefused, WorkspaceRefused
from tests.support.simulated.baselines import few_findings
from tests.support.simulated.studies import STATISTICS_STUDY, TABLE_STUDY


@pytest.fixture(scope="module")
def compared() -> cg.Baselines:
    return cg.Baselines(few_findings())


def test_the_tables_hold_every_figure_and_every_lead(compared: cg.Baselines) -> None:
    models, leads = compared.models(), compared.leads()
    told = compared.findings.to_json()
    assert len(models) == sum(len(one["on"]) for one in told["models"])
    own = models.query("kind == 'local' and site == 'north' and tested == 'north' and not noise")
    found = compared.findings.model("local", "north", noised=False).by_site["north"]
    assert own[["value", "low", "high"]].to_numpy().tolist() == [
        [found.value, found.low, found.high]
    ]
    assert list(leads["verdict"]) == [one["verdict"] for one in told["leads"]]
    assert "one class only" in models.query("tested == 'west'")["note"].iloc[0]


def test_a_comparison_shows_and_saves_itself(compared: cg.Baselines, tmp_path: Path) -> None:
    assert "None of it is differentially private" in compared._repr_html_()
    assert repr(compared).startswith("Baselines of small")
    assert compared.save(tmp_path / "out") == tmp_path / "out" / "baselines.html"
    (tmp_path / "site.yaml").write_text("")
    with pytest.raises(WorkspaceRefused, match="is a hospital's folder"):
        compared.save(tmp_path)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(TABLE_STUDY)
    with pytest.raises(StudyRefused, match="draws=0: give 1 or more"):
        cg.baselines(path, draws=0)
    with pytest.raises(CohortRefused, match="--data is missing"):
        cg.baselines(path)
    path.write_text(STATISTICS_STUDY)
    with pytest.raises(StudyRefused, match="trains nothing"):
        cg.baselines(path, data=tmp_path)
