"""The tables of docs/governance.md: ``python -m tests.docs.rights_table`` writes them anew."""

import re
from pathlib import Path

from compliance.governance.people import RIGHTS, Role
from compliance.governance.retention import RECORD_CLASSES

PAGE = Path(__file__).parents[2] / "docs" / "governance.md"
_SHORT = {
    Role.LEAD: "lead",
    Role.DATA_SCIENTIST: "data scientist",
    Role.COMPLIANCE_OFFICER: "officer",
    Role.AUDITOR: "auditor",
    Role.ADMINISTRATOR: "administrator",
}


def rights_table() -> str:
    """Returns the table of acts: who may do each, and who confirms it."""
    lines = [
        f"| act | | {' | '.join(_SHORT[role] for role in Role)} |",
        f"|---|---|{'---|' * len(Role)}",
    ]
    for name, right in RIGHTS.items():
        marks = []
        for role in Role:
            second = right.second is not None and role in right.second
            mark = {(True, True): "1, 2", (True, False): "1", (False, True): "2"}
            marks.append(mark.get((role in right.roles, second), ""))
        lines.append(f"| `{name}` | {right.what} | {' | '.join(marks)} |")
    return "\n".join(lines)


def records_table() -> str:
    """Returns the table of classes of records."""
    lines = ["| records | where | kept | what ends it | a hold |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.name} | `{one.place}` | {one.kept} | {one.ends} | {one.held} |"
        for one in RECORD_CLASSES
    ]
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Returns the page with its tables as the code has them."""
    for name, table in (("rights", rights_table()), ("records", records_table())):
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(pattern, lambda m, t=table: m[1] + t + "\n" + m[2], text, flags=re.S)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"docs/governance.md has no place for the table of {name}")
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
