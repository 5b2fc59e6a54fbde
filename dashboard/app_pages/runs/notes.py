"""Notes and tags of a run: who wrote what, and a form for those who may."""

import streamlit as st

from compliance.facts.formatting import Format
from compliance.facts.formatting import show as shown
from compliance.governance.acts import ActRequest
from coordinator.views.run_notes import NOTE, tags_of
from dashboard.page import Page
from dashboard.rows.words import plain
from dashboard.texts import say
from protocol.errors import FederationError

#: So many letters a note has, a tag, and so many tags a run.
MOST_LETTERS, MOST_OF_TAG, MOST_TAGS = 500, 32, 12


def show_notes(page: Page, run: str) -> None:
    """Shows what people noted about a run; whoever may, adds to it under their signature."""
    st.subheader(say("runs.notes"))
    notes = tuple(page.views.notes(run))
    tags = tags_of(notes).get(run, ())
    if tags:
        st.markdown(" ".join(f":gray-badge[{plain(tag)}]" for tag in tags))
    for note in notes:
        if note.text:
            st.markdown(plain(note.text))
            st.caption(plain(f"{note.person}, {shown(note.at, Format.TIME)}"))
    if not notes:
        st.caption(say("runs.no_notes"))
    if page.viewer.may(NOTE):
        _form(page, run, tags)
    else:
        st.caption(say("runs.notes_need_people"))


def _form(page: Page, run: str, tags: tuple[str, ...]) -> None:
    with st.form("run.note", clear_on_submit=True):
        text = st.text_area(say("runs.note"), max_chars=MOST_LETTERS)
        chosen = st.multiselect(
            say("runs.tags"),
            tags,
            default=tags,
            accept_new_options=True,
            max_selections=MOST_TAGS,
        )
        if not st.form_submit_button(say("runs.write"), disabled=not page.viewer.signs):
            return
    wanted = tuple(sorted({" ".join(tag.split())[:MOST_OF_TAG] for tag in chosen}))
    details: dict[str, str | tuple[str, ...]] = {}
    if text.strip():
        details["text"] = " ".join(text.split())
    if wanted != tags:
        details["tags"] = wanted
    if not details:
        return
    request = ActRequest(action=NOTE, subject_kind="run", subject=run, details=details)
    try:
        page.viewer.perform(request)
    except FederationError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()
