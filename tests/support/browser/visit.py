"""One person's look at the dashboard in a browser, and everything that went wrong meanwhile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

from tests.support.machine.patience import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

_SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  return app && app.getAttribute('data-test-script-state') === 'notRunning'
    && !document.querySelector('[data-testid="stSkeleton"]');
}"""
_HEIGHT = """() => Math.max(...[...document.querySelectorAll('[data-testid="stMain"]')]
  .map(one => one.scrollHeight))"""
_COLOUR = """getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor"""
_BACKGROUND, _OTHER_BACKGROUND = f"() => {_COLOUR}", f"before => {_COLOUR} !== before"
#: How long an opened list of options is waited for before it is opened again.
_LIST_SECONDS = 3.0
#: The height of a table's head, and of each of its rows, in pixels: the cells are a picture.
_HEAD, _ROW = 35.0, 35.0
#: Graver findings of axe than these are none; see its rules' ``impact``.
_SERIOUS = ("serious", "critical")


class Visit:
    """A page of the dashboard as a browser shows it.

    ``problems`` are errors of the console and of scripts, and requests to other hosts;
    ``received`` is what came over websockets.
    """

    def __init__(self, page: "Page", base: str) -> None:
        self.page, self.base = page, base
        self.problems: list[str] = []
        self.received: list[bytes] = []
        page.on("websocket", lambda line: line.on("framereceived", self._took))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            place = message.location.get("url", "")
            self.problems.append(f"console: {message.text} ({place})")

    def _asked(self, url: str) -> None:
        host = self.base.split("//")[1]
        if not url.startswith((f"http://{host}", f"ws://{host}", "data:", "blob:")):
            self.problems.append(f"another host: {url}")

    def _took(self, data: str | bytes) -> None:
        self.received.append(data.encode() if isinstance(data, str) else data)

    def log_in(self, name: str, password: str, code: str, address: str = "") -> None:
        """Opens an address, is asked to log in, and fills the form of the login."""
        self.page.goto(f"{self.base}/{address}")
        self.page.fill("#name", name)
        self.page.fill("#password", password)
        self.page.fill("#code", code)
        self.page.click("main button")
        self.settle()

    def turn_to(self, title: str) -> None:
        """Goes to another page by the navigation."""
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
        self.page.locator("h1").filter(has_text=title).first.wait_for(timeout=1000.0 * PATIENCE)
        self.settle()

    def open(self, address: str) -> None:
        """Goes to an address of the dashboard and waits until it is drawn."""
        self.page.goto(f"{self.base}/{address}")
        self.settle()

    def darken(self) -> None:
        """Turns the browser's preference to dark, and waits until the page has followed."""
        before = self.background()
        self.page.emulate_media(color_scheme="dark")
        self.page.wait_for_function(_OTHER_BACKGROUND, arg=before, timeout=1000.0 * PATIENCE)
        self.settle()

    def background(self) -> str:
        """Returns the colour behind the page, as CSS has it."""
        found: str = self.page.evaluate(_BACKGROUND)
        return found

    def scripts(self) -> list[str]:
        """Returns the file names of the scripts that the page has loaded."""
        named = "() => performance.getEntriesByType('resource').map(one => one.name)"
        return [name.split("/")[-1] for name in self.page.evaluate(named) if name.endswith(".js")]

    def settle(self) -> None:
        """Waits until the script has run and everything it drew is there."""
        limit = 1000.0 * PATIENCE
        self.page.wait_for_selector("h1", timeout=limit)
        self.page.wait_for_function(_SETTLED, timeout=limit)

    def told(self, text: str) -> None:
        """Waits until the page says something that can be seen, and stands."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for(timeout=1000.0 * PATIENCE)
        self.settle()

    def form(self, button: str) -> "Locator":
        """Returns the form that a button sends, of those that can be seen."""
        own = self.page.get_by_test_id("stForm").filter(has=self.page.get_by_text(button))
        return own.filter(visible=True)

    def send(self, button: str, code: str) -> None:
        """Sends a form that asks for a one-time code."""
        own = self.form(button)
        own.get_by_role("textbox", name="One-time code").fill(code)
        own.get_by_role("button", name=button).click()

    def press(self, button: str) -> None:
        """Presses a button that stands in no form."""
        self.page.get_by_test_id("stButton").filter(has_text=button).get_by_role("button").click()

    def unfold(self, title: str) -> None:
        """Opens what is folded away under a title; what is open stays so."""
        found = self.page.get_by_test_id("stExpander").filter(has_text=title).filter(visible=True)
        if not found.locator("details").evaluate("one => one.open"):
            found.locator("summary").click()

    def choose(self, label: str, option: str) -> None:
        """Chooses one of a field's options, of the field that can be seen."""
        from playwright.sync_api import TimeoutError as NotInTime

        field = self.page.get_by_role("combobox", name=label).filter(visible=True)
        wanted = self.page.get_by_role("option", name=option, exact=True)
        until = time.monotonic() + PATIENCE
        while True:
            field.click()
            try:
                wanted.click(timeout=1000.0 * _LIST_SECONDS)
                break
            except NotInTime:  # what moves on the page meanwhile closes the list
                if time.monotonic() > until:
                    raise
        self.page.keyboard.press("Escape")  # the list of a field of several stays open

    def table(self, cell: str) -> "Locator":
        """Returns the table that has a cell, once the cell is drawn."""
        found = self.page.get_by_test_id("stDataFrame")
        found.first.scroll_into_view_if_needed(timeout=1000.0 * PATIENCE)
        found = found.filter(has=self.page.locator("td", has_text=cell))
        found.first.wait_for(timeout=1000.0 * PATIENCE)
        return found.first

    def rows(self, cell: str) -> list[list[str]]:
        """Returns the texts of the table that has a cell, row by row, without its head."""
        script = "all => all.map(one => [...one.querySelectorAll('td')].map(td => td.textContent))"
        found: list[list[str]] = self.table(cell).locator("tbody tr").evaluate_all(script)
        return found

    def select_row(self, cell: str) -> None:
        """Selects the first row that has a cell, in the table that has it."""
        place = next(n for n, row in enumerate(self.rows(cell)) if cell in row)
        at = {"x": 18.0, "y": _HEAD + _ROW * (place + 0.5)}
        self.table(cell).click(position=at)  # type: ignore[arg-type]
        self.settle()

    def words(self) -> str:
        """All that can be read on the page."""
        return self.page.inner_text("body")

    def content(self) -> str:
        """All that the page holds, in its tables' cells and what is folded away, too."""
        return self.page.text_content("body") or ""

    def serious_faults(self) -> list[str]:
        """Serious faults of accessibility that axe finds, each with its first element."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['help']} ({one['nodes'][0]['html'][:200]})"
            for one in found
            if one["impact"] in _SERIOUS
        ]

    def picture(self, to: Path) -> None:
        """Writes the whole page as a picture."""
        size = self.page.viewport_size or {"width": 1440, "height": 900}
        height = min(6000, max(size["height"], int(self.page.evaluate(_HEIGHT))))
        self.page.set_viewport_size({"width": size["width"], "height": height})
        self.page.wait_for_timeout(300)  # charts draw themselves anew
        self.page.screenshot(path=to)
        self.page.set_viewport_size({"width": size["width"], "height": size["height"]})


@contextmanager
def visiting(browser: "Browser", base: str, *, width: int = 1440) -> Iterator[Visit]:
    """Yields a visit by somebody whom the dashboard has never seen."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="light", locale="en-GB"
    )
    try:
        yield Visit(context.new_page(), base)
    finally:
        context.close()
