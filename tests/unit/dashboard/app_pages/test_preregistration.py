"""The preregistration on a run's page: criteria, deviations, and a form to declare one."""

from dataclasses import dataclass

from compliance.facts.dossier import Dossier, Relation
from tests.support.simulated import dossiers
from tests.unit.compliance.facts.test_preregistration import earlier, planned, registered
from tests.unit.dashboard.app_pages.test_runs import Signer, page_of, words
from tests.unit.dashboard.test_dashboard import FakeViews


@dataclass
class Deviating(Signer):
    """A viewer who may declare deviations, and remembers what was signed."""

    def may(self, action: str) -> bool:
        return action == "run.deviate"

    def perform(self, request, payload=None, code=""):  # type: ignore[no-untyped-def]
        self.done.append({"action": request.action, "run": request.subject, **request.details})
        return {}


def shown(dossier: Dossier, viewer: object = None) -> str:
    return words(page_of(FakeViews(dossier), viewer, run=dossier.run_id))


def test_a_run_without_preregistration_shows_no_part_of_it() -> None:
    assert "Preregistration" not in shown(dossiers.finished())


def test_the_page_says_what_was_decided_and_what_deviates() -> None:
    facts = registered(earlier("run-0", Relation.SAME_STUDY, released=5))
    page = page_of(FakeViews(planned(registration=facts)), run=planned().run_id)
    said = words(page)
    assert "Primary hypothesis discriminates: supported" in said
    assert "This is run 2 of this preregistration" in said
    assert "If a hospital leaves: We report the others." in said
    assert "Deviations are declared under a signature" in said
    assert any("Related as" in table.value.columns for table in page.dataframe)
    assert any("falls below" in str(table.value) or "reaches" in str(table.value)
               for table in page.table)  # fmt: skip


def test_whoever_may_declares_a_deviation_on_the_page() -> None:
    dossier = planned()
    viewer = Deviating(people=None, name="Cleo Lead")  # type: ignore[arg-type]
    page = page_of(FakeViews(dossier), viewer, run=dossier.run_id)
    page.text_area[0].set_value("Other \n scanner.")
    next(one for one in page.button if one.label == "Sign and declare").click().run()
    assert not page.exception and not page.error
    assert viewer.done == [
        {"action": "run.deviate", "run": dossier.run_id, "text": "Other scanner."}
    ]
