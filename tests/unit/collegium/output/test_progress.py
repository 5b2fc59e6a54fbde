"""Progress on a terminal."""

import io

from rich.console import Console

from collegium.output.progress import rows_on_screen
from pipelines.sources.progress import rows_read


def test_rows_that_were_read_are_shown_on_a_terminal_alone() -> None:
    for is_terminal in (True, False):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=is_terminal, width=80)
        with rows_on_screen(console):
            rows_read(12_345)
        assert ("12,345 rows" in screen.getvalue()) == is_terminal
