"""Every worked template reaches its recorded figure again, on the records that it names."""

import pytest

from collegium.studies.authoring.worked.catalogue import WORKED_TEMPLATES
from collegium.studies.authoring.worked.figures import measured_figures
from tests.long.templates.measuring import measured
from tests.long.templates.model import EXAMPLE, FILE, trained_model
from tests.long.templates.records import NEEDED

pytestmark = [pytest.mark.long, pytest.mark.shared_data]


@pytest.mark.parametrize("name", WORKED_TEMPLATES)
def test_a_template_reaches_its_figure_again(name: str) -> None:
    if name in NEEDED and not NEEDED[name].is_dir():
        pytest.skip(f"{NEEDED[name]} is not there")
    recorded = measured_figures()[name]
    again = measured(WORKED_TEMPLATES[name], recorded.seeds[:1])
    assert again.records == recorded.records
    assert (again.study, again.patients) == (recorded.study, recorded.patients)
    # The noise is a test's, so only another platform's rounding is left.
    assert again.exact[0] == pytest.approx(recorded.exact[0], rel=0.02)


def test_the_model_that_is_evaluated_is_what_its_study_comes_to() -> None:
    assert trained_model() == (EXAMPLE / FILE).read_bytes()
