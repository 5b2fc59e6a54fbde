"""Parts of pages that are drawn again by themselves: all through one element."""

from pathlib import Path

import dashboard

ROOM = Path(dashboard.__file__).parent


def test_no_page_refreshes_itself_past_the_element() -> None:
    """Elsewhere a part would be drawn again in English, whatever language was chosen."""
    found = {
        file.relative_to(ROOM).as_posix()
        for file in ROOM.rglob("*.py")
        if "st.fragment(" in file.read_text(encoding="utf-8")
    }
    assert found == {"elements/refreshed.py"}
