"""Debian's Chromium, driven by Playwright; tests are skipped, and say so, where it is missing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: What Chromium is called on Debian, and elsewhere.
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def started_browser() -> Iterator["Browser"]:
    """Yields a browser of this process's own; without one the test is skipped.

    ``COLLEGIUM_REQUIRE_BROWSER=1`` makes a missing browser a failure: continuous integration.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        reason = "no Chromium is installed: make browser"
        if os.environ.get("COLLEGIUM_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()
