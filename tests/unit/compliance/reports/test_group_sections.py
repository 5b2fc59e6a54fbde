"""Sections about groups: every group in sight, what may be concluded, and the table to publish."""

import csv
import io
import json
from dataclasses import replace

import pytest

from compliance.estimates.groups import SMALL
from compliance.estimates.withholding import TOO_FEW
from compliance.facts.dossier import run_json
from compliance.facts.named_figures import Whose
from compliance.reports.one_run.performance_table import (
    heterogeneity_table,
    performance_report,
    performance_table,
)
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import RENDERERS, render_html, wide_csv
from compliance.reports.sections.fairness.gaps import group_gap_sentences
from compliance.reports.sections.fairness.groups import groups_section
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report


def test_the_sentences_say_what_is_shown_and_what_could_not_be_seen() -> None:
    dossier = dossiers.with_groups()
    (label, age), (_, ppv) = group_gap_sentences(dossier, "age")
    assert label == "Sensitivity (equal opportunity, a part of equalised odds)"
    assert age.startswith("the largest gap, between below 50 and 50 and above, is 0.300 (95 %: ")
    assert "in at most 5 of 100 evaluations: find out why" in age
    assert ppv == f"groups cannot be compared, for fewer than two have a figure: {TOO_FEW}."
    sex = dict(group_gap_sentences(dossier, "sex"))[label]
    assert "It may be chance and noise alone" in sex and "to be shown in 80 of 100" in sex
    race = dict(group_gap_sentences(dossier, "race"))[label]
    assert race.endswith(f"fewer than two have a figure: {SMALL}.")


def test_page_report_and_json_have_every_group_and_who_declined() -> None:
    study = dict(dossiers.finished().study)
    study["sites"] = [{"name": "north", "groups": False}, {"name": "east"}]
    dossier = dossiers.with_groups(study=study)
    for document in (run_page(dossier, []), privacy_report(dossier)):
        page = render_html(document)
        assert "Fairness between groups of patients" in page
        assert "Declined to count groups: north." in page
    told = json.loads(json.dumps(run_json(dossier)))
    assert [one["group"] for one in told["groups"]][:2] == ["below 50", "50 and above"]
    assert told["group_gaps_released"]["age"]["sensitivity"]["is_shown"] is True
    assert told["group_gaps_released"]["race"]["sensitivity"] is None
    assert told["sites_without_groups"] == ["north"]


def test_a_run_without_groups_has_no_such_section() -> None:
    assert "Fairness between groups" not in render_html(run_page(dossiers.finished(), []))
    assert run_json(dossiers.finished())["groups"] == []


def test_groups_of_which_nothing_is_known_have_reasons_and_no_drawing() -> None:
    silent = tuple(dossiers.group_facts("age", name, dossiers.NOTHING) for name in ("young", "old"))
    section = groups_section(replace(dossiers.finished(), groups=silent))
    page = render_html(replace(run_page(dossiers.finished(), []), sections=(section,)))
    assert TOO_FEW in page and "<svg" not in page


def test_named_figures_are_all_released_ones_and_no_exact_one() -> None:
    dossier = dossiers.with_groups()
    found = dossier.named_figures
    assert {one.whose for one in found} == set(Whose) - {Whose.OUTCOME}
    assert len([one for one in found if one.whose is Whose.GROUP]) == 18
    lines = run_json(dossier)["figures_released"]
    assert {"figure", "of", "part", "at", "value", "low", "high", "note"} == set(lines[0])
    assert not [one for one in found if one.found.value == 0.81]


def test_the_table_to_publish_has_a_line_for_all_each_hospital_and_each_group() -> None:
    dossier = dossiers.with_groups()
    head, *lines = csv.reader(io.StringIO(wide_csv(performance_table(dossier))))
    assert head[:4] == ["Of", "Part", "Patients", "AUROC"] and "Sensitivity" in head
    assert [line[1] for line in lines] == [
        "all", *dossiers.SITES, *(group.name for group in dossier.groups)
    ]  # fmt: skip
    at = head.index("Sensitivity")
    by_part = {line[1]: line[at] for line in lines}
    assert by_part["age: below 50"] == "0.900 (0.880 to 0.920)"
    assert by_part["race: a"] == SMALL


def test_gaps_between_hospitals_stay_in_sight_whatever_a_grouping_is_called() -> None:
    groups = tuple(
        dossiers.group_facts("hospitals", name, dossiers.interval(value, 0.02))
        for name, value in (("small", 0.9), ("large", 0.6))
    )
    dossier = replace(dossiers.finished(), groups=groups)
    assert dossier.largest_gaps
    of = [row[0] for row in heterogeneity_table(dossier).rows]
    assert of.count("hospitals") == len(dossier.largest_gaps)
    assert "groups by hospitals" in of


@pytest.mark.parametrize("form", RENDERERS)
def test_the_document_to_publish_is_written_in_every_form(form: str) -> None:
    text = RENDERERS[form](performance_report(dossiers.with_groups()))
    assert "TRIPOD+AI item 23b" in text and "50 and above" in text
