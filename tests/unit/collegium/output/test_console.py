"""What commands print: texts of others are shown, and move or hide nothing."""

import pytest
from rich.table import Table
from rich.text import Text

from collegium.output.console import answers, console, say

HOSTILE = "epsilon 9\x1b[8m\x1b]0;x\x07\x9b2J\u202e"


@pytest.mark.parametrize("form", [str, Text])
def test_no_text_of_others_gives_the_terminal_an_order(
    form: type, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("name")
    table.add_row(form(HOSTILE))
    answers().print(table)
    answers().print(form(HOSTILE), style="red")
    console().print(table)
    say(HOSTILE)
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"} and "epsilon 9" in text
