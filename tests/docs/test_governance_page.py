"""The tables of docs/governance.md are those of the code."""

from tests.docs.rights_table import PAGE, with_tables


def test_the_page_of_governance_says_who_may_do_what() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text, "python -m tests.docs.rights_table"
