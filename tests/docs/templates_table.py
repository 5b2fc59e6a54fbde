"""The table of templates in the page about studies, written from the record of measurements.

``python -m tests.docs.templates_table`` writes it; a test of the page compares.
"""

from collegium.studies.authoring.worked.catalogue import WORKED_TEMPLATES
from collegium.studies.authoring.worked.figures import measured_figures
from tests import ROOT

PAGE = ROOT / "docs" / "study.md"
BEGINS, ENDS = "<!-- templates -->\n", "<!-- end -->"


def table() -> str:
    """Returns the table's lines."""
    lines = ["| template | what it does | measured | records |", "|---|---|---|---|"]
    for name, one in WORKED_TEMPLATES.items():
        folder, _ = one.example
        example = f"[{one.records}](../examples/{folder}/README.md)"
        lines.append(f"| `{name}` | {one.says} | {measured_figures()[name].said} | {example} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGINS)
    PAGE.write_text(before + BEGINS + table() + ENDS + rest.partition(ENDS)[2], encoding="utf-8")
