"""The tables of docs/governance.md are those of the code."""

import shlex

import pytest

from compliance.governance.incidents.playbooks import PLAYBOOKS
from tests.docs.rights_table import PAGE, with_tables
from tests.docs.test_operations import unknown

COMMANDS = sorted(
    {step.command for one in PLAYBOOKS.values() for step in one.steps if step.command}
)


def test_the_page_of_governance_says_who_may_do_what() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text, "python -m tests.docs.rights_table"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_a_playbook_exists_with_its_options(command: str) -> None:
    words = shlex.split(command)
    assert words[0] in ("collegium", "sqlite3")
    assert words[0] == "sqlite3" or unknown(words[1:]) is None
