"""Writes the tables of ``docs/data-faults.md`` from the catalogue.

Usage:  python -m tests.docs.fault_page
"""

import re

from pipelines.sources.faults.catalogue import CATALOGUE, GROUPS
from tests import ROOT

PAGE = ROOT / "docs" / "data-faults.md"
_BEGIN, _END = "<!-- from the catalogue -->\n", "<!-- end of the catalogue -->"


def tables() -> str:
    """Returns a table for each group of faults, a row for each name."""
    parts = []
    for group in GROUPS:
        rows = [
            f'| <a id="{kind.name}"></a>`{kind.name}` | {kind.state} | {kind.what} | {kind.found} '
            f"| {kind.remedy} |\n"
            for kind in CATALOGUE.values()
            if kind.group == group
        ]
        head = (
            "| name | state | what it is | how it is found | what to do |\n|---|---|---|---|---|\n"
        )
        parts.append(f"\n### {group}\n\n{head}{''.join(rows)}")
    return "".join(parts) + "\n"


def page(text: str) -> str:
    """Returns the page with its tables as the catalogue has them."""
    pattern = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)
    return pattern.sub(lambda _: _BEGIN + tables() + _END, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
