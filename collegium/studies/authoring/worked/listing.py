"""``study templates``: what a new study can begin from."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collegium.studies.authoring.template_tasks import TEMPLATES
from collegium.studies.authoring.worked.catalogue import WORKED_TEMPLATES
from collegium.studies.authoring.worked.figures import measured_figures


def list_templates(screen: Console) -> dict[str, Any]:
    """Prints every template, worked ones with their figures; returns that for ``--json``."""
    figures = measured_figures()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("worked template", "what it does", "measured, on the records below"):
        table.add_column(title)
    for name, one in WORKED_TEMPLATES.items():
        table.add_row(*map(Text, (name, one.says, figures[name].said)))
    screen.print(table)
    screen.print(
        "\nFigures are exact ones of simulations over all test patients: the mean, and the lowest "
        "and highest of the seeds.",
        markup=False,
        soft_wrap=True,
    )
    for name, one in WORKED_TEMPLATES.items():
        screen.print(f"  {name}: {one.records}", markup=False, soft_wrap=True)
    screen.print(
        f"\nempty templates, to be filled in, without a figure: {', '.join(TEMPLATES)}",
        markup=False,
        soft_wrap=True,
    )
    return {
        "worked": [
            {
                "name": name,
                "says": one.says,
                "records": one.records,
                "brought_by": one.brought_by,
                "example": "/".join(("examples", *one.example)),
                "measured": figures[name].to_json() | {"said": figures[name].said},
            }
            for name, one in WORKED_TEMPLATES.items()
        ],
        "empty": list(TEMPLATES),
    }
