"""The dashboard's one page on every kind of store, through Streamlit's own test driver."""

import ast
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import dashboard
from compliance.estimates.binned_scores.calibration import calibration_curve
from compliance.estimates.binned_scores.operating_points import operating_points
from compliance.estimates.binned_scores.release_rule import usual_scores
from compliance.estimates.binned_scores.within_bins import BinnedScores
from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from compliance.facts.comparison.baselines import BaselineFindings
from compliance.facts.comparison.strategies import ComparisonFindings
from compliance.facts.dossier import Dossier, LogVerification, SubjectFacts
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.privacy_utility import UtilityPoint, Withheld
from coordinator.database.store import Store
from coordinator.views.alerts import Alert
from coordinator.views.one_run.run_summary import RunSummary
from coordinator.views.opened.version import KeptVerification
from coordinator.views.run_notes import RunNote
from dashboard import app
from dashboard.rows import runs
from dashboard.server.metrics import DashboardMetrics
from protocol.errors import StoreBroken
from protocol.vectors.score_grid import ScoreGrid
from tests.support.machine.patience import PATIENCE
from tests.support.simulated import dossiers
from tests.support.simulated.drifts import drifted
from tests.support.simulated.reports import subject_of


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit leaves its script as ``__main__``, which child processes would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


class FakeViews:
    """A store in memory; ``faults`` is what verifying it tells."""

    faults: tuple[str, ...] = ()
    noted: tuple[RunNote, ...] = ()

    def __init__(
        self,
        *known: Dossier,
        points: Sequence[UtilityPoint] = (),
        raised: Sequence[Alert] = (),
        calendars: Sequence[DriftCalendar] = (),
        compared: BaselineFindings | None = None,
        strategies: ComparisonFindings | None = None,
    ) -> None:
        self._known, self._raised = {dossier.run_id: dossier for dossier in known}, raised
        self._calendars, self._compared, self._strategies = calendars, compared, strategies
        self._points = tuple(points)

    def runs(self) -> tuple[RunSummary, ...]:
        return tuple(
            RunSummary(
                run_id=d.run_id, study_name=d.study_name, state=d.state, started_at=d.started_at,
                seed=d.seed, mode="per_site", epsilon=1.0, test_noise=d.test_noise,
                simulation=d.simulation, question="q", figure=d.figures.headline,
                exact=d.exact.get(d.figures.headline.name), sweep=d.sweep,
                released=d.released.get(d.figures.headline.name), failure=d.failure,
                rounds=d.rounds_planned, rounds_done=d.rounds_trained, hospitals=len(d.sites),
                ended_at=d.ended_at,
            )
            for d in self._known.values()
        )  # fmt: skip

    def notes(self, run_id: str | None = None) -> tuple[RunNote, ...]:
        return tuple(note for note in self.noted if run_id in (None, note.run))

    def dossier(self, run_id: str) -> Dossier:
        return self._known[run_id]

    def subject(self, scope: str, name: str) -> SubjectFacts:
        return subject_of(self._known[name], scope=scope).facts

    def utility(self, run_id: str) -> tuple[UtilityPoint, ...]:
        return self._points

    def withheld(self, run_id: str) -> tuple[Withheld, ...]:
        return ()

    def alerts(self, run_id: str | None = None, *, closed: bool = False) -> tuple[Alert, ...]:
        return tuple(
            alert
            for alert in self._raised
            if run_id in (None, alert.run) and (closed or alert.closed_at is None)
        )

    def calendars(self) -> Sequence[DriftCalendar]:
        return self._calendars

    def baselines(self) -> BaselineFindings | None:
        return self._compared

    def strategies(self) -> ComparisonFindings | None:
        return self._strategies

    def verified(self) -> KeptVerification | None:
        result = LogVerification(key="ab" * 32, faults=self.faults)
        return KeptVerification(size=10**6, result=result)


def _script(views, name: str) -> None:  # type: ignore[no-untyped-def]  # text, without imports
    from dashboard import app
    from dashboard.page import Page

    app.show_page(name, Page(views=views))


def _page(views: FakeViews, name: str = "runs") -> AppTest:
    page = AppTest.from_function(_script, args=(views, name), default_timeout=PATIENCE)
    if name == "runs" and (known := views.runs()):
        page.query_params["run"] = known[0].run_id
    page.run()
    assert not page.exception
    return page


def _words(page: AppTest) -> str:
    parts = [page.title, page.markdown, page.subheader, page.caption, page.info, page.warning,
             page.error, page.success]  # fmt: skip
    return "\n".join(element.value for kind in parts for element in kind).replace("\\", "")


def test_empty_store_says_how_to_start() -> None:
    page = _page(FakeViews())
    assert "No run yet. Start one with: collegium demo --out FOLDER" in _words(page)
    assert not page.selectbox


def an_alert(number: int, run: str, **given: object) -> Alert:
    cause = {"text": f"cause {number}", "remedy": f"remedy {number}"}
    told: dict[str, object] = {
        "number": number, "severity": "warning", "run": run, "cause": cause,
        "raised_at": "2026-03-04T05:06:07.000Z", "closed_at": None, "acknowledged_by": None,
        "acknowledged_at": None, "note": None,
    }  # fmt: skip
    return Alert(**(told | given))  # type: ignore[arg-type]


def _told(page: AppTest, place: int) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = page.table[place].value.reset_index().to_dict("records")
    return [{key: text.replace("\\", "") for key, text in row.items()} for row in rows]


def test_alerts_about_a_run_stand_with_it_those_that_ended_too() -> None:
    dossier = dossiers.finished()
    raised = (
        an_alert(4, "another"),
        an_alert(3, dossier.run_id, severity="critical"),
        an_alert(2, dossier.run_id, closed_at="2026-03-04T07:06:07.000Z"),
    )
    about = _told(_page(FakeViews(dossier, raised=raised)), 0)
    assert [row["What"] for row in about] == ["cause 3", "cause 2"] and about[1]["Ended"]


def test_a_store_without_alerts_says_nothing_of_them() -> None:
    page = _page(FakeViews(dossiers.finished()))
    assert not [s for s in page.subheader if "alert" in s.value.lower()]


def test_a_release_stands_beside_its_calendar_as_it_was_then() -> None:
    run = replace(dossiers.statistics(), run_id="run-2", task="monitoring", drift=drifted())
    words = _words(page := _page(FakeViews(run)))
    assert "Drift of lab." in words
    assert {metric.label: metric.value for metric in page.metric}["Release"] == "2"


def test_finished_run_shows_its_headlines() -> None:
    page = _page(FakeViews(dossiers.finished(), points=dossiers.sweep()))
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown == {
        "AUROC, exact": "0.881",
        "AUROC, released": "0.868",
        "Accuracy, released": "0.803",
        "ε for one patient": "1",
        "Training rounds": "4",
    }
    assert "95 %: 0.837 to 0.899" in _words(page)


def test_run_of_a_statistics_study_shows_its_columns_and_their_shares() -> None:
    page = _page(FakeViews(dossiers.statistics()))
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown == {
        "Patients, exact": "920",
        "Patients, released": "920",
        "ε for one patient": "1",
        "Columns": "2",
    }
    assert "95 %: 870 to 970" in _words(page)
    assert list(page.dataframe[0].value["Mean"]) == ["53.9 (52.1 to 55.7)", "—"]
    assert page.selectbox[0].options == ["sex"]
    assert len(page.get("vega_lite_chart")) == 3


def test_finished_run_has_four_charts_each_with_its_numbers() -> None:
    page = _page(FakeViews(dossiers.finished(), points=dossiers.sweep()))
    assert len(page.get("vega_lite_chart")) == 4
    assert len(page.expander) == 4


def test_interim_figures_are_drawn_with_their_numbers_and_what_was_rolled_back() -> None:
    page = _page(FakeViews(dossiers.with_course(), points=dossiers.sweep()))
    assert "Released AUROC by round" in [found.value for found in page.subheader]
    assert len(page.get("vega_lite_chart")) == len(page.expander) == 5
    assert "Rolled back after round 4: AUROC 0.620" in _words(page)
    (table,) = [f.value for f in page.dataframe if "After round" in f.value.columns]
    assert list(table["Rolled back to the model after round"]) == ["—", "2", "—"]


def test_thresholds_are_drawn_with_their_numbers_and_gaps_said_in_words() -> None:
    counts = np.array([[40.0, 30.0, 20.0, 10.0], [10.0, 20.0, 30.0, 40.0]])
    points = operating_points(counts, 2.0, (100.0, 100.0), ScoreGrid())
    page = _page(FakeViews(replace(dossiers.finished(), operating_points=points)))
    assert "Thresholds" in [found.value for found in page.subheader]
    assert len(page.get("vega_lite_chart")) == 5  # no sweep is drawn
    assert "the largest gap, between north and south, is 0.172" in _words(page)
    few = operating_points(counts / 5, 30.0, (20.0, 20.0), ScoreGrid())
    page = _page(FakeViews(replace(dossiers.finished(), operating_points=few)))
    assert "Nothing is known of any threshold: too few patients" in _words(page)


def test_calibration_is_drawn_with_its_numbers_or_said_to_be_unknown() -> None:
    counts = np.array([[40.0, 30.0, 20.0, 10.0], [10.0, 20.0, 30.0, 40.0]])
    scores = BinnedScores.of(counts, 2.0, ScoreGrid())
    points = calibration_curve(scores, usual_scores((100.0, 100.0), 4, 2.0))
    error = {"ece": Interval(value=0.02, low=0.0, high=0.08)}
    page = _page(FakeViews(replace(dossiers.finished(), calibration=points, released=error)))
    assert "Calibration" in [found.value for found in page.subheader]
    assert "Expected calibration error (ECE)" in _words(page)
    few = calibration_curve(scores, None)
    page = _page(FakeViews(replace(dossiers.finished(), calibration=few)))
    assert "Nothing is known of the calibration: too few patients" in _words(page)


def test_figures_of_each_class_are_drawn_with_their_numbers() -> None:
    known = Interval(value=0.712, low=0.61, high=0.8)
    outcomes = tuple(
        OutcomeFigures(outcome=name, figures={"f1": known}) for name in ("mild", "severe")
    )
    task = "multiclass_classification"
    page = _page(FakeViews(replace(dossiers.finished(), task=task, outcomes=outcomes)))
    assert "Figures of each class" in [found.value for found in page.subheader]
    assert any("mild" in set(frame.value.get("Class", ())) for frame in page.dataframe)


def test_modes_are_compared_in_words_and_numbers() -> None:
    page = _page(FakeViews(dossiers.finished(), points=dossiers.modes(0.3)))
    assert "shared noise closes 80% of that gap." in _words(page)
    gains = page.dataframe[1].value
    assert list(gains["Difference in AUROC"])[0] == "shared noise - per-site noise at ε = 0.3"
    assert len(page.expander) == 5


def test_run_without_privacy_claims_none() -> None:
    page = _page(FakeViews(dossiers.without_privacy()))
    assert "No privacy is claimed." in _words(page)
    assert {m.label: m.value for m in page.metric}["ε for one patient"] == "none"
    assert page.error


def test_failed_run_shows_why() -> None:
    page = _page(FakeViews(dossiers.failed()))
    assert any("QuorumLost" in error.value for error in page.error)
    assert "No figure of any hospital is available for this run." in _words(page)


def test_running_run_shows_what_is_not_there_yet() -> None:
    page = _page(FakeViews(dossiers.running()))
    words = _words(page)
    assert "still at work" in words
    assert "No round was opened; 4 were planned." in words
    assert [button.label for button in page.button] == ["All runs"]


def test_a_run_that_failed_says_why_and_what_helps() -> None:
    words = _words(_page(FakeViews(dossiers.failed())))
    assert "QuorumLost" in words and "Too few hospitals could take part." in words


def test_newer_finished_run_is_offered_before_an_older_one() -> None:
    older = dossiers.finished()
    newer = replace(older, run_id="newer", started_at="2026-11-22T10:00:00.000Z")
    found = runs.ordered(FakeViews(older, newer, dossiers.failed()).runs())
    assert [run.run_id for run in found] == ["newer", older.run_id, dossiers.failed().run_id]


def test_the_page_is_verified_before_anything_is_said() -> None:
    page = _page(FakeViews(dossiers.finished()))
    assert page.success[0].value.startswith("**Verified at entry 11 of the signed log")
    assert f"key {'ab' * 32}" in _words(page)


def test_records_that_were_changed_put_a_watermark_on_the_page() -> None:
    views = FakeViews(dossiers.finished())
    views.faults = ("audit entry 3 was changed: its hash does not match",)
    page = _page(views)
    assert page.error[0].value.startswith("**NOT VERIFIED")
    assert "audit entry 3 was changed" in page.error[0].value
    assert "Verified at" not in _words(page)


def test_study_author_cannot_make_the_page_fetch_anything() -> None:
    hostile = replace(dossiers.finished(), study_title="![x](https://example.org/x.png)")
    title = _page(FakeViews(hostile)).title[1].value
    assert "![" not in title and "](" not in title and "https:" not in title
    assert title.replace("\\", "").replace("\u2060", "") == hostile.study_title


def _folder(out: Path) -> AppTest:
    def script(out: str) -> None:
        from dashboard import app

        app.run(["--out", out])

    page = AppTest.from_function(script, args=(str(out),), default_timeout=PATIENCE)
    page.run()
    assert not page.exception
    return page


def test_folder_without_runs_is_a_sentence_and_not_a_traceback(tmp_path: Path) -> None:
    assert "holds no run" in _words(_folder(tmp_path))


def test_real_store_without_runs_says_how_to_start(tmp_path: Path) -> None:
    Store(tmp_path / "collegium.db").close()
    assert "No run yet." in _words(_folder(tmp_path))


def test_damaged_store_is_a_sentence_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "collegium.db").write_bytes(b"not a database " * 500)
    assert "collegium.db is not a readable database" in _words(_folder(tmp_path))


def test_page_has_no_icon_that_a_browser_would_fetch_from_another_host() -> None:
    source = Path(app.__file__).read_text(encoding="utf-8")
    assert "page_icon=_ICON" in source
    assert (
        (Path(app.__file__).parent / ".streamlit" / "icon.svg")
        .read_text(encoding="utf-8")
        .startswith("<svg")
    )


def test_a_page_that_cannot_read_the_store_counts_as_a_script_that_failed() -> None:
    metrics = DashboardMetrics(tuple(app.PAGES))

    class Broken(FakeViews):
        def runs(self) -> NoReturn:
            raise StoreBroken("the database is away")

    def script(views, timed) -> None:  # type: ignore[no-untyped-def]  # text, without imports
        from dashboard import app
        from dashboard.page import Page, Tools

        app.show_page("runs", Page(views=views, tools=Tools(timed=timed)))

    page = AppTest.from_function(
        script, args=(Broken(), metrics.script), default_timeout=PATIENCE
    ).run()
    assert "the database is away" in page.error[0].value
    counted = metrics.registry.get_sample_value
    assert counted("collegium_dashboard_script_errors_total", {"page": "runs"}) == 1
    assert counted("collegium_dashboard_script_seconds_count", {"page": "runs"}) == 1


def test_telemetry_is_off() -> None:
    settings = Path(dashboard.__file__).parent / ".streamlit" / "config.toml"
    assert "gatherUsageStats = false" in settings.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("epsilon", "words"), [(None, "no privacy"), (0.5, "shared noise, ε = 0.5"), (8.0, "ε = 8")]
)
def test_run_label_says_what_was_promised(epsilon: float | None, words: str) -> None:
    mode = "none" if epsilon is None else "distributed"
    line = replace(FakeViews(dossiers.finished()).runs()[0], epsilon=epsilon, mode=mode)
    assert words in runs.run_label(line)
    assert "2026-11-21 10:00:00 UTC" in runs.run_label(line)


def test_groups_of_patients_stand_with_what_may_be_concluded() -> None:
    page = _page(FakeViews(dossiers.with_groups()))
    words = _words(page)
    assert "Fairness between groups of patients" in words
    assert "the largest gap, between below 50 and 50 and above, is 0.300" in words
    assert "Fairness between groups" not in _words(_page(FakeViews(dossiers.finished())))


def test_no_expression_stands_alone_that_streamlit_would_write_on_the_page() -> None:
    tree = ast.parse(Path(app.__file__).read_text(encoding="utf-8"))
    alone = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    odd = [one for one in alone if not isinstance(one, ast.Call | ast.Constant)]
    assert not [ast.unparse(one) for one in odd]
