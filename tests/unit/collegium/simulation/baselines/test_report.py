"""The page, the lines and the files of a comparison with baselines."""

import csv
import html
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collegium.simulation.baselines.report import summarise, write_report
from compliance.facts.comparison.baselines import FEDERATED, LOCAL, BaselineFindings
from compliance.reports.document import Figure, tables
from compliance.reports.renderers import render_csv, render_html
from compliance.reports.several_runs.baselines_page import REAL, baselines_page
from coordinator.views.several_runs.comparisons import baselines_in
from protocol.errors import StoreBroken, WorkspaceRefused
from tests.support.simulated.baselines import few_findings, findings_for
from tests.support.simulated.studies import small_study


@pytest.fixture(scope="module")
def found() -> BaselineFindings:
    return few_findings()


def test_the_page_has_both_levels_of_noise_and_says_what_real_hospitals_may_do(
    found: BaselineFindings,
) -> None:
    document = baselines_page(found)
    keys = [section.key for section in document.sections]
    assert keys == [
        "worth", "side-by-side-plain", "side-by-side-private", "matrix-plain", "matrix-private",
        "differences", "real-hospitals", "made",
    ]  # fmt: skip
    drawn = render_html(document)
    assert drawn == render_html(baselines_page(found))
    for _, words in REAL:
        assert words in html.unescape(drawn)
    assert "None of it is differentially private" in drawn
    figures = [b for section in document.sections for b in section.blocks if isinstance(b, Figure)]
    assert len(figures) == 5 and all(figure.alt and figure.svg for figure in figures)


def test_a_study_without_privacy_has_one_level() -> None:
    keys = [
        section.key
        for section in baselines_page(findings_for(small_study().with_epsilon(None))).sections
    ]
    assert keys == [
        "worth", "side-by-side-plain", "matrix-plain", "differences", "real-hospitals", "made"
    ]  # fmt: skip


def test_the_banner_names_every_hospital_by_what_its_interval_allows(
    found: BaselineFindings,
) -> None:
    said = baselines_page(found).banner[1].detail
    for how in (
        "federated model without noise, against each hospital alone without noise",
        "federated model with the study's privacy, against each hospital alone with the study's",
        "federated model with the study's privacy, against each hospital alone without noise",
    ):
        assert how in said
    assert said.count("better at east, north, south; too few test patients to say at west") == 3


def test_the_matrix_holds_every_model_on_every_hospital_with_its_interval(
    found: BaselineFindings,
) -> None:
    matrices = [
        t for _, t in tables(baselines_page(found)) if t.title.startswith("Cross-site matrix")
    ]
    assert len(matrices) == 2
    for table in matrices:
        assert [row[0] for row in table.rows] == [
            *(f"{site} alone" for site in found.sites),
            *(f"all but {site}" for site in found.sites),
            "federated",
            "pooled records",
        ]
    own = found.model(LOCAL, "north", noised=False).by_site
    assert matrices[0].rows[1][2:6] == tuple(own.values())
    assert own["west"].note == "not available: test patients of one class only"
    assert "not available: test patients of one class only" in render_html(baselines_page(found))


def test_the_files_hold_the_page_all_figures_and_a_line_for_each_value(
    found: BaselineFindings, tmp_path: Path
) -> None:
    assert write_report(found, tmp_path / "new") == tmp_path / "new" / "baselines.html"
    told = json.loads((tmp_path / "new" / "baselines.json").read_text())
    assert told == json.loads(json.dumps(found.to_json()))
    assert told["simulation"] and "not differentially private" in told["figures_are"]
    east = found.model(FEDERATED, None, noised=True).by_site["east"]
    (model,) = [one for one in told["models"] if one["model"] == "federated with noise"]
    assert {"tested": "east", **vars(east)} in model["on"]
    lines = list(csv.DictReader(io.StringIO((tmp_path / "new" / "baselines.csv").read_text())))
    assert any("cross-site matrix, with the study" in line["section"] for line in lines)
    assert (tmp_path / "new" / "baselines.csv").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_refused(
    found: BaselineFindings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceRefused, match="cannot be written"):
        write_report(found, tmp_path / "file")


def test_the_lines_say_who_is_better_where_and_that_figures_are_exact(
    found: BaselineFindings,
) -> None:
    out = io.StringIO()
    summarise(found, Path("baselines.html"), Console(file=out, width=140))
    told = " ".join(out.getvalue().split())
    assert "east: federated, without noise is better than east alone, without noise: " in told
    assert "None of it is differentially private" in told and "baselines.html" in told
    assert "west: " not in told


def test_what_is_written_is_read_back_and_makes_the_same_page(
    found: BaselineFindings, tmp_path: Path
) -> None:
    assert baselines_in(tmp_path) is None
    write_report(found, tmp_path)
    again = baselines_in(tmp_path)
    assert again == found
    assert render_csv(baselines_page(again)) == render_csv(baselines_page(found))


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda told: told.pop(key)


def _with(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda told: told.update({key: value})


@pytest.mark.parametrize(
    "damage",
    [
        _without("models"),
        _with("models", []),
        _with("more", 1),
        _with("seed", "1"),
        _with("hospitals", 7),
        lambda told: told["models"].pop(),
        lambda told: told["models"][0]["on"].pop(0),
        lambda told: told["models"][0]["on"][0].update(value="0.9"),
        lambda told: told["models"][0]["on"][0].update(value=float("nan")),
        lambda told: told["models"][0].update(more=1),
        lambda told: told["leads"][0].update(verdict="best"),
        lambda told: told["leads"][0].update(first="nobody without noise"),
        lambda told: told["leads"][0].update(tested="nowhere"),
        lambda told: told["study"].update(clip="1"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(
    found: BaselineFindings, tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    told = json.loads(json.dumps(found.to_json()))
    damage(told)
    (tmp_path / "baselines.json").write_text(json.dumps(told))
    with pytest.raises(StoreBroken, match="is damaged, or no comparison at all: collegium base"):
        baselines_in(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"runs": []}', "no json", "[" * 100_000, "\x00", "\udcff"]
)
def test_a_foreign_file_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "baselines.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreBroken, match="is damaged, or no comparison at all"):
        baselines_in(tmp_path)
