"""Strategies in Python: tables, files, and what is refused."""

from pathlib import Path

import pytest

import collegium as cg
from protocol.errors import CohortRefused, StudyRefused, WorkspaceRefused
from tests.support.simulated.strategies import compared_strategies
from tests.support.simulated.studies import TABLE_STUDY, small_study


@pytest.fixture
def compared() -> cg.Comparison:
    return cg.Comparison(compared_strategies((0.01, 0.05), (None, None)))


def test_the_tables_hold_every_figure(compared: cg.Comparison) -> None:
    summary, sites = compared.summary(), compared.sites()
    assert list(summary["strategy"]) == ["first", "s0", "s1"]
    assert list(summary.query("lead_low > 0")["strategy"]) == ["s0"]
    assert summary["lead"].isna().tolist() == [True, False, False]
    assert len(sites) == 3 * len(small_study().site_names)
    assert sites[["value", "low", "high"]].drop_duplicates().to_numpy().tolist() == [
        [0.8, 0.7, 0.9]
    ]


def test_a_comparison_shows_and_saves_itself(compared: cg.Comparison, tmp_path: Path) -> None:
    assert "nothing of this page is differentially private" in compared._repr_html_()
    assert repr(compared).startswith("Strategies compared of small")
    assert compared.save(tmp_path / "out") == tmp_path / "out" / "comparison.html"
    (tmp_path / "site.yaml").write_text("")
    with pytest.raises(WorkspaceRefused, match="is a hospital's folder"):
        compared.save(tmp_path)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(TABLE_STUDY)
    with pytest.raises(StudyRefused, match="seeds=0: give 1 or more"):
        cg.compare(path, ["fedavg"], seeds=0)
    with pytest.raises(StudyRefused, match="did you mean 'fedavg'"):
        cg.compare(path, ["fedavgg"], data=tmp_path)
    with pytest.raises(CohortRefused, match="--data is missing"):
        cg.compare(path, ["fedavg"])
