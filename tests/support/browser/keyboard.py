"""The keyboard: what of a page the tabulator reaches, and what has no name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Marks what is to be reached: what is visible, enabled, and no part of a group with one stop.
_WANTED = """() => {
  const kinds = 'a[href], button, input, select, textarea, summary, [role=button], [role=combobox]';
  const fields = ['Selectbox', 'MultiSelect', 'NumberInput', 'DateInput', 'DateTimeInput']
    .map(one => `[data-testid=st${one}]`).join();  // their arrows do what the arrow keys do
  const groups = '[role=radiogroup], [role=tablist], [role=grid], canvas';
  const found = [...document.querySelectorAll(kinds)].filter(one =>
    one.checkVisibility({visibilityProperty: true, opacityProperty: false})
    && one.getClientRects().length && !one.disabled && !one.closest('[inert], [aria-hidden=true]')
    && !one.closest(groups) && !(one.tabIndex < 0 && one.closest(fields))
    && one.getBoundingClientRect().width > 1);
  window.__wanted = new Set(found);
  document.activeElement.blur();
  window.getSelection().removeAllRanges();
  document.addEventListener('focusin', event => window.__wanted.delete(event.target), true);
  return found.length;
}"""
_LEFT = "() => [...window.__wanted].map(one => one.outerHTML.slice(0, 200))"


def not_reached(page: "Page") -> list[str]:
    """Returns what can be pressed or filled in and is not reached by the tabulator alone."""
    wanted: int = page.evaluate(_WANTED)
    for _ in range(2):  # a few stops are of groups, tables and charts
        for _ in range(wanted + 10):
            page.keyboard.press("Tab")
        left: list[str] = page.evaluate(_LEFT)
        if not left:
            break
    return left


def nameless(page: "Page") -> list[str]:
    """Returns the roles of what can have the focus and has no name for a screen reader.

    Three kinds are left out: the page's own area and boxes of text, which have the focus so that
    keys scroll them, and a table's canvas, which Streamlit gives no name; its cells are read.
    """
    session = page.context.new_cdp_session(page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    kinds = [
        str(node["role"]["value"])
        for node in nodes
        if not node["ignored"]
        and any(p["name"] == "focusable" and p["value"]["value"] for p in node["properties"])
        and not node.get("name", {}).get("value")
    ]
    return [kind for kind in kinds if kind not in ("main", "generic", "Canvas", "gridcell")]
