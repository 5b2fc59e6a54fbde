"""Worked templates are the examples' own studies, valid, measured, and fit for other hospitals."""

import json
from pathlib import Path

import numpy as np
import pytest

from collegium.output.console import answers
from collegium.studies.authoring.template_tasks import TEMPLATES
from collegium.studies.authoring.worked.adapted import Changes, adapted_text
from collegium.studies.authoring.worked.catalogue import LIBRARY, WORKED_TEMPLATES, WorkedTemplate
from collegium.studies.authoring.worked.figures import FILE, measured_figures
from collegium.studies.preflight import check_records
from compliance.facts.figures import TASK_FIGURES
from pipelines.networks.given_network import given_network
from pipelines.networks.networks import build
from protocol.errors import StudyRefused
from protocol.study.study import KeyedHashSplit
from protocol.study.study_file import read_study, read_study_file
from tests import ROOT
from tests.docs.templates_table import BEGINS, ENDS, PAGE, table
from tests.long.templates.measuring import FEW_SEEDS, SEEDS, measured
from tests.support.machine.commands import ask

SITES = ("st-mary", "charite", "ucsf", "lyon", "oslo")
every = pytest.mark.parametrize("template", WORKED_TEMPLATES.values(), ids=WORKED_TEMPLATES)


@every
def test_a_template_is_its_examples_study_byte_for_byte(template: WorkedTemplate) -> None:
    folder, name = template.example
    example = ROOT / "examples" / folder / name
    assert template.document.read_bytes() == example.read_bytes()
    for file in template.beside:
        assert file.read_bytes() == (example.parent / file.name).read_bytes()


def test_every_file_of_the_library_belongs_to_a_template() -> None:
    used = {file for one in WORKED_TEMPLATES.values() for file in (one.document, *one.beside)}
    assert {*LIBRARY.iterdir()} <= used | {FILE}
    assert not set(WORKED_TEMPLATES) & set(TEMPLATES)


@every
def test_a_figure_is_of_the_study_that_the_template_writes(template: WorkedTemplate) -> None:
    figure, study = measured_figures()[template.name], template.study
    assert figure.study == study.digest, "measure it again: python -m tests.long.templates"
    assert (figure.task, figure.epsilon) == (
        study.task.kind,
        getattr(study.privacy, "epsilon", None),
    )
    assert len(figure.seeds) == len(figure.exact) == len(figure.released)
    assert figure.seeds == FEW_SEEDS.get(template.name, SEEDS)
    kind = TASK_FIGURES[figure.task].headline
    assert all((kind.low or 0) <= value <= (kind.high or np.inf) for value in figure.exact)
    assert figure.command.endswith(template.name)
    assert all(len(each) == 64 for each in figure.records.values()) and figure.records
    assert {"python", "torch", "numpy", "monai", "collegium"} == set(figure.versions)


def test_a_template_reaches_its_figure_again() -> None:
    """Training, noise and evaluation are real; the other templates are left to the long form."""
    recorded = measured_figures()["tabular"]
    again = measured(WORKED_TEMPLATES["tabular"], recorded.seeds[:1])
    assert (again.records, again.study) == (recorded.records, recorded.study)
    assert again.patients == recorded.patients
    # The noise follows from the seed, so that only another platform's rounding is left.
    assert again.exact[0] == pytest.approx(recorded.exact[0], abs=0.01)


def test_every_template_is_measured_and_nothing_else() -> None:
    assert [*measured_figures()] == [*WORKED_TEMPLATES]


@every
def test_as_it_is_the_study_is_the_measured_one(template: WorkedTemplate) -> None:
    text = adapted_text(template, Changes())
    assert read_study(text).digest == template.study.digest
    assert measured_figures()[template.name].said in text and template.brought_by in text


@every
def test_with_other_hospitals_it_is_a_valid_study_whose_network_can_be_built(
    template: WorkedTemplate, tmp_path: Path
) -> None:
    changes = Changes(name="ours", title="Ours", purpose="To learn: ours.", sites=SITES)
    to = tmp_path / "study.yaml"
    to.write_text(adapted_text(template, changes))
    for file in template.parameters:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    study, own = read_study_file(to), template.study
    assert (study.name, study.title, {*study.site_names}) == ("ours", "Ours", {*SITES})
    assert study.purpose.strip() == "To learn: ours."
    assert study.partition is None and isinstance(study.split, KeyedHashSplit)
    for section in ("task", "training", "privacy"):
        mine, theirs = getattr(study, section), getattr(own, section)
        assert mine.model_dump() == theirs.model_dump()
    assert all(site.patients > 0 for site in study.sites)
    assert "# patients: declared training patients" in to.read_text()
    if study.trains:
        assert build(study.task, study.cohort, 1)
    elif study.has_model:
        assert given_network(study.task, study.cohort)


def test_records_of_the_shape_pass_the_check_of_a_study_for_other_hospitals(
    tmp_path: Path,
) -> None:
    """Rows of the bundled records stand for those of five other hospitals."""
    template = WORKED_TEMPLATES["tabular"]
    to = tmp_path / "study.yaml"
    to.write_text(adapted_text(template, Changes(sites=SITES)))
    heart = template.document.parent
    rows = [
        line
        for name in ("cleveland", "hungarian", "va")
        for line in (heart / f"processed.{name}.data").read_text().splitlines()
    ]
    for place, site in enumerate(SITES):
        (tmp_path / f"{site}.csv").write_text("\n".join(rows[place :: len(SITES)]) + "\n")
    found = check_records(read_study_file(to), tmp_path, tmp_path, answers(True))["sites"]
    assert set(found) == set(SITES)
    assert all(site["train"]["patients"] > 50 for site in found.values())


def test_epsilon_is_changed_where_something_is_promised() -> None:
    text = adapted_text(WORKED_TEMPLATES["tabular"], Changes(epsilon=2.5))
    assert getattr(read_study(text).privacy, "epsilon", None) == 2.5


def test_what_makes_no_study_is_refused() -> None:
    with pytest.raises(StudyRefused, match="at least 3|three"):
        adapted_text(WORKED_TEMPLATES["tabular"], Changes(sites=("a", "b")))
    with pytest.raises(StudyRefused, match="name"):
        adapted_text(WORKED_TEMPLATES["tabular"], Changes(name="No Name"))


def test_the_command_writes_study_and_files_and_the_check_takes_them(tmp_path: Path) -> None:
    to = tmp_path / "heart.yaml"
    made = ask("study", "new", "--template", "tabular-evaluation", "--to", to, "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert {Path(file).name for file in told["beside"]} == {"split.csv", "heart.safetensors"}
    assert told["measured"]["study"] == read_study_file(to).digest
    checked = ask("study", "check", to, "--data", WORKED_TEMPLATES["tabular"].document.parent)
    assert checked.returncode == 0, checked.stderr
    (tmp_path / "split.csv").write_text("another\n")
    again = ask("study", "new", "--template", "tabular", "--to", tmp_path / "other.yaml")
    assert again.returncode == 2 and "split.csv is there already, with other" in again.stderr
    assert not (tmp_path / "other.yaml").exists()


def test_an_unknown_template_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    to = tmp_path / "new.yaml"
    refused = ask("study", "new", "--to", to, "--template", "tabular-survial")
    assert refused.returncode == 2 and not to.exists()
    assert "did you mean 'tabular-survival'?" in refused.stderr
    assert "collegium study templates lists them" in refused.stderr


def test_the_list_has_every_template_with_its_figure_and_whose_records_it_is_of() -> None:
    told = json.loads(ask("study", "templates", "--json").stdout)
    assert [one["name"] for one in told["worked"]] == [*WORKED_TEMPLATES]
    assert told["empty"] == [*TEMPLATES]
    shown = ask("study", "templates").stdout
    for one in told["worked"]:
        assert one["measured"]["said"] in shown and f"{one['name']}: {one['records']}" in shown
        assert (ROOT / one["example"]).is_file()


def test_the_page_shows_the_figures_that_were_measured() -> None:
    assert BEGINS + table() + ENDS in PAGE.read_text(encoding="utf-8")
