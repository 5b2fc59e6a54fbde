"""The compliance report and the run's page: complete, honest, the same everywhere."""

import csv
import html
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas
import pytest

from compliance.estimates.interval import Interval
from compliance.facts.dossier import Dossier, LogVerification, run_json
from compliance.facts.figures import MAE, R2
from compliance.facts.model_warnings import model_warnings
from compliance.reports.document import Document, Listing, Tone, tables
from compliance.reports.kinds import SUPPORTS
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_csv, render_html, render_json
from tests.support.machine.short_form import short_form
from tests.support.simulated import dossiers
from tests.support.simulated.reports import privacy_report

ALL = [dossiers.finished, dossiers.without_privacy, dossiers.failed, dossiers.running]
RENDERERS = [render_html, render_json, render_csv]
NO_CLAIM = "No privacy is claimed."


def _text(page: str) -> str:
    body = page.partition("</style>")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def _report(dossier: Dossier) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_json(privacy_report(dossier)))
    return found


def _table(document: Document, title: str) -> list[dict[str, Any]]:
    (table,) = [table for _, table in tables(document) if table.title == title]
    names = [column.title for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("render", short_form(RENDERERS, len(RENDERERS)))
def test_two_reports_of_one_run_are_the_same_bytes(
    make: Callable[[], Dossier], render: Callable[[Document], str]
) -> None:
    assert render(privacy_report(make())) == render(privacy_report(make()))


@pytest.mark.parametrize("make", ALL)
def test_page_about_any_run_stands_alone(make: Callable[[], Dossier]) -> None:
    page = render_html(run_page(make(), ()))
    assert set(re.findall(r"https?://[^\"\s<]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"<(script|link|img|iframe|object)\b", page)


@pytest.mark.parametrize("render", RENDERERS)
def test_report_without_privacy_says_so_first(render: Callable[[Document], str]) -> None:
    document = privacy_report(dossiers.without_privacy())
    assert document.banner[1].tone is Tone.BAD
    assert NO_CLAIM in render(document)


def test_fixed_test_noise_claims_no_privacy_though_noise_was_added() -> None:
    document = privacy_report(replace(dossiers.finished(), test_noise=True))
    said = document.banner[1]
    assert (said.text, said.tone) == (NO_CLAIM, Tone.BAD)
    assert said.detail.startswith("This run used fixed test noise.")


@pytest.mark.parametrize(
    ("colluders", "words"),
    [
        (2, "this holds while at most 2 of the hospitals collude with the coordinator; if more "
            "do, exp(2.1)."),
        (0, "this holds while no hospital colludes with the coordinator; if any does, exp(2.1)."),
    ],
)  # fmt: skip
def test_shared_noise_says_how_many_may_collude(colluders: int, words: str) -> None:
    one = dossiers.finished()
    sites = tuple(
        replace(s, privacy=replace(s.privacy, mode="distributed", fallback_epsilon=2.1))
        for s in one.sites
    )
    assert words in replace(one, sites=sites, colluders=colluders).claim


def test_report_without_privacy_defines_no_claim() -> None:
    text = _text(render_html(privacy_report(dossiers.without_privacy())))
    assert "Add or remove" not in text
    assert "whatever anyone does" not in text.lower()


def test_failed_run_is_prominent_with_its_reason() -> None:
    said = privacy_report(dossiers.failed()).banner[0]
    assert said.tone is Tone.BAD
    assert said.text.startswith("The run failed")
    assert "QuorumLost: round 1 has 2 answers, 3 are needed" in said.detail


def test_failed_run_still_states_what_its_patients_paid() -> None:
    rows = _table(privacy_report(dossiers.failed()), "Privacy of this run at each hospital")
    assert [row["ε, training"] for row in rows] == [1.0] * 4


def test_run_before_any_hospital_spoke_claims_nothing() -> None:
    said = privacy_report(dossiers.running()).banner
    assert "still at work" in said[0].text
    assert said[1].text == "No privacy is claimed: no hospital had signed a summary."


def test_report_says_under_which_key_it_was_verified_or_carries_a_watermark() -> None:
    dossier = dossiers.finished()
    assert "NOT VERIFIED" in _text(render_html(privacy_report(dossier)))
    whole = replace(dossier, verification=LogVerification(key="ab" * 32))
    said = privacy_report(whole).banner[-1]
    assert said.text.startswith("Verified at entry 11 of the signed log (2026-11-21")
    assert f"key {'ab' * 32}" in said.text
    broken = replace(
        dossier, verification=LogVerification(key="ab" * 32, faults=("run 1: changed",))
    )
    first = privacy_report(broken).banner[0]
    assert (first.tone, "run 1: changed" in first.detail) == (Tone.BAD, True)
    assert first.text.startswith("NOT VERIFIED")


def test_unknown_state_is_repeated_and_not_praised() -> None:
    said = privacy_report(replace(dossiers.finished(), state="paused")).banner[0]
    assert (said.text, said.tone) == ("The run is paused.", Tone.CAUTION)


@pytest.fixture(scope="module")
def finished_text() -> str:
    """The words of a finished run's report."""
    return _text(render_html(privacy_report(dossiers.finished())))


@pytest.mark.parametrize(
    "words",
    [
        "One patient: all records of one patient at one hospital.",
        "Add or remove",
        "even whether the patient is there is covered",
        "It needs no cryptographic assumption.",
        "Every hospital adds its full noise to its own counts, so",
        "privacy loss distributions (PLD)",
        "a Rényi filter at two orders",
        "Participation and timing",
        "Architecture, layer sizes",
        "Patients of several hospitals",
        "Refusals of records",
        "Hospitals C that may collude with the coordinator",
        "2.13.0+cpu",
        "Network FullyConnectedNet Public model seed",
    ],
)
def test_report_states(words: str, finished_text: str) -> None:
    assert words in finished_text


def test_report_names_public_parameters_and_what_was_trained() -> None:
    finished = dossiers.finished()
    named = {"file": "start.safetensors", "sha256": "ab" * 32, "source": "a journal"}
    more = {"pretrained": named, "trained_layers": ["output"]}
    study = finished.study | {"task": {**finished.study["task"], **more}}
    study["training"] = {"average_last": 5}
    said = _text(render_html(privacy_report(replace(finished, study=study))))
    assert "Trains output; other layers are frozen" in said
    assert f"Starts from a journal (start.safetensors, SHA-256 {'ab' * 32}); no claim" in said
    assert "Releases the mean of the last 5 rounds' models" in said
    page = _text(render_html(run_page(replace(finished, study=study), ())))
    assert "It trains output; other layers are frozen. It releases the mean of the last 5" in page


@pytest.mark.parametrize("render", RENDERERS)
def test_report_supports_and_never_certifies(render: Callable[[Document], str]) -> None:
    assert SUPPORTS in render(privacy_report(dossiers.finished()))


def test_hospital_rows_hold_what_is_paid_and_by_which_mechanism() -> None:
    document = privacy_report(dossiers.finished())
    assert _table(document, "Privacy of this run at each hospital")[0] == {
        "Hospital": "east",
        "Unit": "patient",
        "δ": 1e-4,
        "ε, training": 1.0,
        "ε, test": 1.0,
        "ε, at two hospitals": 1.52,
        "ε, two together": 2.31,
        "ε, three together": 3.9,
        "ε, training, if too many collude": 1.0,
    }
    assert _table(document, "Mechanism at each hospital")[0] == {
        "Hospital": "east",
        "Noise multiplier": 8.312,
        "Noise multiplier, evaluation": 3.1,
        "Sampling rate q": 1.0,
        "Steps": 20,
        "Steps priced": 20,
        "Clip": 1.0,
        "Noise": "exact",
    }


def test_budget_row_holds_what_this_run_and_all_runs_take_of_the_budget() -> None:
    row = _table(privacy_report(dossiers.finished()), "Budget for life at each hospital")[1]
    assert row["This run takes of it"] == 0.11
    assert row["All runs have booked of it"] == 0.36
    assert row["Head of the hospital's ledger"] == dossiers.digest("ledger of north")
    assert row["Frozen cohort"] == dossiers.digest("cohort of north")[:32]


def test_round_record_names_who_dropped_out() -> None:
    rows = _table(privacy_report(dossiers.finished()), "Rounds")
    assert rows[1]["Dropped out"] == "west"
    assert rows[1]["In the sum"] == "east, north, south"
    assert (rows[0]["Attempt"], rows[4]["Kind"]) == (1, "evaluation")


def test_round_record_says_what_was_noticed_of_its_sites() -> None:
    dossier = dossiers.finished()
    remark = "west answered wrongly: its blob is not the one it signed"
    accused = replace(dossier.rounds[2], remarks=(remark,))
    changed = replace(dossier, rounds=(*dossier.rounds[:2], accused, *dossier.rounds[3:]))
    rows = _table(privacy_report(changed), "Rounds")
    assert rows[2]["Remarks"] == remark
    assert rows[1]["Remarks"] is None


def test_audit_entries_and_head_are_whole() -> None:
    dossier = dossiers.finished()
    document = privacy_report(dossier)
    (listed,) = [b for s in document.sections for b in s.blocks if isinstance(b, Listing)]
    own = [e.payload for e in dossier.audit.entries if e.type != "study-registered"]
    assert [line.split()[-2] for line in listed.lines] == [dossier.study_digest, *own]
    head = {row["Fact"]: row["Value"] for row in _table(document, "Identity")}
    assert head["Root of the log"] == dossier.audit.root
    assert head["Signed head of the log"] == dossier.audit.checkpoint.strip()
    words = _table(document, "The log in words")
    assert (words[0]["Log entries"], words[-1]["What was done"]) == ("0", "The run finished")


def test_real_run_has_no_place_for_exact_figures() -> None:
    sites = tuple(
        replace(site, exact={}, train_patients=None, test_patients=None)
        for site in dossiers.finished().sites
    )
    real = replace(dossiers.finished(), simulation=False, sites=sites, exact={})
    for render in RENDERERS:
        assert "simulation" not in render(privacy_report(real))
        assert "simulation" not in render(run_page(real, ()))


def test_numbers_agree_in_page_report_and_json_of_the_run() -> None:
    dossier = dossiers.finished()
    said = run_json(dossier)
    page = _text(render_html(run_page(dossier, dossiers.sweep())))
    facts = {r["Fact"]: r["Value"] for r in _table(privacy_report(dossier),
                                                  "All test patients together")}  # fmt: skip
    assert facts["AUROC, exact (simulation only)"] == said["auroc"]
    assert facts["AUROC, released"].value == said["auroc_released"]["value"]
    assert f"{said['auroc']:.3f}" in page
    assert "0.868 95 %: 0.837 to 0.899" in page
    assert said["audit"]["root"] in page


def test_csv_and_json_hold_the_same_tables() -> None:
    document = privacy_report(dossiers.finished())
    lines = list(csv.reader(io.StringIO(render_csv(document), newline="")))
    titles = {line[1] for line in lines[1:] if line[0] != "document"} - {"text"}
    assert titles >= {table.title for _, table in tables(document)}


def test_csv_holds_the_conditions_of_its_figures() -> None:
    document = privacy_report(dossiers.finished())
    frame = pandas.read_csv(io.StringIO(render_csv(document)))
    claims = frame[frame.column == "topic"].value
    assert {"Unit", "A patient is", "Adjacency", "Mechanism", "Trust, training"} <= set(claims)
    said = frame[(frame.section == "The privacy claim") & (frame.column == "statement")].value
    assert said.str.contains("Add or remove").any() and said.str.contains("exp(", regex=False).any()
    assert "Withdrawal" in set(claims)
    assert (frame.section == "document").any() and not frame.value.astype(str).str.match(
        r"[=+@]"
    ).any()
    for _, table in tables(document):  # every table can be laid out again
        found = frame[frame.table == table.title]
        assert not found.duplicated(["section", "row", "column"]).any(), table.title


def test_page_draws_utility_fairness_privacy_and_rounds() -> None:
    page = render_html(run_page(dossiers.finished(), dossiers.sweep()))
    assert page.count('<svg role="img" aria-label="') == 4


def test_page_with_runs_without_privacy_only_draws_no_epsilon() -> None:
    points = [point for point in dossiers.sweep() if point.epsilon is None]
    text = _text(render_html(run_page(dossiers.without_privacy(), points)))
    assert "Every finished run of this study trained without privacy" in text
    assert "ε for one patient none no privacy claimed" in text


def test_page_of_a_run_at_work_says_what_is_not_there_yet() -> None:
    text = _text(render_html(run_page(dossiers.running(), ())))
    assert "No finished run of this study has a figure to show yet." in text
    assert "No round was opened; 4 were planned." in text
    assert "No figure of any hospital is available" in text


def test_page_says_what_to_try_next() -> None:
    text = _text(render_html(run_page(dossiers.finished(), ())))
    run_id = dossiers.finished().run_id
    assert f"collegium report export {run_id} --format html --to report.html --out ." in text
    assert "collegium audit verify --out ." in text


@pytest.mark.parametrize("make", ALL)
def test_study_author_cannot_write_into_the_page(make: Callable[[], Dossier]) -> None:
    hostile = replace(make(), study_title="<svg onload=x>", failure="</div><script>x</script>")
    page = render_html(privacy_report(hostile))
    assert "<svg onload" not in page and "<script>" not in page


def test_report_of_a_mended_dossier_differs() -> None:
    changed = replace(dossiers.finished(), exact={"auroc": 0.8813, "accuracy": 0.8104})
    assert render_json(privacy_report(changed)) != render_json(privacy_report(dossiers.finished()))


def test_report_reads_no_clock_and_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render_html(privacy_report(dossiers.finished()))
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert render_html(privacy_report(dossiers.finished())) == before
    assert _report(dossiers.finished())["kind"] == "privacy-statement"


def test_claim_that_rests_on_the_secure_sum_says_what_is_left_without_it() -> None:
    dossier = dossiers.finished()
    shared = tuple(
        replace(s, privacy=replace(s.privacy, mode="distributed", fallback_epsilon=3.1904))
        for s in dossier.sites
    )
    claim = replace(dossier, sites=shared).claim
    assert "holds while at most 1 of the hospitals collude" in claim
    assert "if more do, exp(3.2)" in claim
    assert "collude" not in dossier.claim


def test_record_level_claim_says_that_it_is_about_a_record() -> None:
    weaker = replace(
        dossiers.finished(),
        sites=tuple(
            replace(site, privacy=replace(site.privacy, unit="record"))
            for site in dossiers.finished().sites
        ),
    )
    page = _text(render_html(privacy_report(weaker)))
    assert "Record-level differential privacy" in page
    assert "Patient-level differential privacy" not in page
    assert "one single record (not of a patient with several)" in page


def test_second_opinions_stand_beside_the_claim_where_there_were_any() -> None:
    title = "Second opinions, asked when each hospital joined"
    dossier = dossiers.finished()
    rows = _table(privacy_report(dossier), title)
    assert [row["Hospital"] for row in rows] == [s.site for s in dossier.sites]
    assert tuple(rows[0].values())[1:4] == ("chain", 1.6e-7, 9.7e-8)
    assert tuple(rows[0].values())[5:] == (1.95, "1.6.0", "2.13.0")
    assert _table(run_page(dossier, ()), title) == rows
    sites = tuple(replace(s, privacy=replace(s.privacy, opacus="")) for s in dossier.sites)
    without = tables(privacy_report(replace(dossier, sites=sites)))
    assert title not in [table.title for _, table in without]


@pytest.mark.parametrize(
    ("exact", "released", "said"),
    [
        (0.356, None, "worse than chance (AUROC 0.356)"),
        (0.54, None, "learned next to nothing (AUROC 0.540)"),
        (0.71, (0.3, 0.45), None),
        (None, (0.31, 0.48), "worse than chance (AUROC 0.31 to 0.48)"),
        (None, (0.44, 0.62), "cannot be distinguished from chance (AUROC 0.44 to 0.62)"),
        (None, (0.62, 0.8), None),
        (None, None, None),
    ],
)
def test_page_terminal_and_json_warn_of_a_model_that_is_no_better_than_chance(
    exact: float | None, released: tuple[float, float] | None, said: str | None
) -> None:
    interval = released and Interval(value=sum(released) / 2, low=released[0], high=released[1])
    known = {"auroc": interval} if interval else {}
    dossier = replace(dossiers.finished(), exact={"auroc": exact}, released=known)
    page = _text(render_html(run_page(dossier, ())))
    warning = "; ".join(run_json(dossier)["warnings"])
    if said is None:
        assert warning == "" and dossier.warnings == ()
    else:
        report = json.dumps(_report(dossier))
        assert said in warning and said in page and said in report
    hidden = Interval(value=0.3, low=0.1, high=0.4, note="too few patients")
    withheld = replace(dossiers.finished(), exact={}, released={"auroc": hidden})
    assert withheld.warnings == ()


def test_page_says_which_runs_it_is_about() -> None:
    run = dossiers.finished()
    alone = _text(render_html(run_page(run, dossiers.sweep()[:1])))
    assert f"This page is about run {run.run_id}." in alone and "of the sweep" not in alone
    several = _text(render_html(run_page(replace(run, sweep="s-1"), dossiers.sweep())))
    assert "It is one run of the sweep s-1; collegium runs list shows the others." in several
    assert "draws 16 figures, 8 exact ones and 8 released ones: at most one of each kind" in several


def test_report_and_page_say_that_the_same_patients_were_used_without_privacy() -> None:
    run = dossiers.finished()
    beside = replace(run, unprotected_runs=tuple(f"open-{n}" for n in range(5)))
    for document in (privacy_report(beside), run_page(beside, ())):
        text = _text(render_html(document))
        assert "5 simulated runs without differential privacy" in text
        assert "open-0, open-1, open-2 and 2 more" in text
    one = _text(render_html(run_page(replace(run, unprotected_runs=("open-0",)), ())))
    assert "1 simulated run without differential privacy" in one
    assert "also used without privacy" not in _text(render_html(privacy_report(run)))
    own = _text(render_html(run_page(dossiers.without_privacy(), ())))
    assert "what the patients have left is as it was" in own


def test_a_useless_regression_is_told_by_its_own_figure_and_advice() -> None:
    (said,) = model_warnings(-0.2, None, None, R2)
    assert said.startswith("The model predicts worse than the patients' mean (R² -0.200): try")
    assert model_warnings(0.4, None, None, R2) == () == model_warnings(0.1, None, None, MAE)
