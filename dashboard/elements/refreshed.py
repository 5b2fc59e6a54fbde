"""Parts of a page that are drawn again by themselves, and the sentence where none can be drawn."""

from collections.abc import Callable

import streamlit as st

from dashboard.rows.words import plain
from dashboard.texts import in_this_language, say
from dashboard.viewer import Viewer
from protocol.errors import FederationError, PolicyRefused, StoreSilent

#: Seconds between two looks whether a silent database answers again.
_LOOK_SECONDS = 3.0


def show_refreshed(viewer: Viewer, draw: Callable[[], None], seconds: float | None) -> None:
    """Shows a part of a page; it alone is drawn again every so many seconds.

    Streamlit takes an error of such a part for a fault of the program, so none leaves it: with
    the whole page it is told by the page; later in the part's place. A database that does not
    answer any more takes the whole page away, which would otherwise look as if it were of now.

    Args:
        viewer: who looks.
        draw: draws the part.
        seconds: between two drawings; None where only the whole page draws it again.

    Raises:
        FederationError: the part cannot be drawn with the page.
    """
    with_page, failed = True, list[FederationError]()

    def again() -> None:
        try:
            draw()
        except StoreSilent as error:
            if not with_page:
                st.rerun()
            failed.append(error)
        except FederationError as error:
            if with_page:
                failed.append(error)
            else:
                show_refusal(error, viewer.name)

    st.fragment(in_this_language(again), run_every=seconds)()
    with_page = False
    if failed:
        raise failed[0]


def show_refusal(error: FederationError, name: str) -> None:
    """Shows in one sentence why something is not shown to a person, or cannot be."""
    if isinstance(error, PolicyRefused):
        st.warning(say("navigation.refused", name=plain(name)), icon=":material/lock:")
        st.caption(plain(str(error)))
    else:
        st.error(plain(str(error)), icon=":material/error:")


def show_silence(answers: Callable[[], bool]) -> None:
    """Shows that the database does not answer; draws the page anew once it does.

    Args:
        answers: says whether it answers; asked every few seconds.
    """
    with_page = True

    def look() -> None:
        if not with_page and answers():
            st.rerun()
        st.error(say("navigation.silent"), icon=":material/cloud_off:")

    st.fragment(in_this_language(look), run_every=_LOOK_SECONDS)()
    with_page = False
