"""Texts of somebody who means ill, as a real browser makes them: no link, no picture, no icon."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import ROOT
from tests.support.browser.chromium import started_browser
from tests.support.machine.patience import PATIENCE
from tests.support.machine.plain_http import NO_TLS

HOSTILE = (
    "http://a.example/x", "www.b.example", "mail eve@c.example now", "![x](http://d.example/p.png)",
    "<img src=http://e.example/x>", "[a](http://f.example)", "$\\href{http://g.example}{x}$",
    ":material/check_circle: verified", ":streamlit: x", ":red[x]", "a\n\n1. one\n2. two",
    "a\n\n    code", "[x][y]\n\n[y]: http://h.example", "mailto:a@i.example",
    "a\n===\nb", "    code",
    "HTTP://J.example", "(www.k.example)", "\\http://l.example", "~~x~~ **y** `z`", "a | b\n--|--",
    "> q",
    "https://1.2.3.4:80/?a=b", "x\r\n# y", "- [ ] x", "<https://m.example>",
    "\thttp://n.example",
)  # fmt: skip
PAGE = """
import json, pandas as pd, streamlit as st
from dashboard.elements.pieces import show_lines, show_metrics
from dashboard.rows.words import plain
texts = json.loads(TEXTS)
for text in texts:
    st.markdown(f"**{plain(text)}**")
    st.caption(plain(text))
    st.expander(plain(text))
show_metrics([(text, text, text) for text in texts[:6]])
show_lines([{"what": str(place), "said": text} for place, text in enumerate(texts)])
st.text("the end")
"""
MADE = "a[href]:not([href^='#']), h1, h2, ol, ul, img, del, blockquote, .katex, input, " + (
    "[data-testid=stMarkdownContainer] :is(code, [role=img])"
)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    import json

    script = tmp_path / "page.py"
    script.write_text(PAGE.replace("TEXTS", repr(json.dumps(HOSTILE))))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"port": port, "address": "127.0.0.1", "headless": "true"}
    words = [word for name, value in options.items() for word in (f"--server.{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(script), *words,
         "--browser.gatherUsageStats", "false"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                httpx2.get(
                    f"http://127.0.0.1:{port}/_stcore/health", verify=NO_TLS
                ).raise_for_status()
                break
            except httpx2.HTTPError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.long
def test_nothing_that_is_typed_becomes_a_link_a_picture_or_an_icon(address: str) -> None:
    with started_browser() as browser:
        page, others = browser.new_page(), list[str]()
        page.on("request", lambda one: None if address in one.url else others.append(one.url))
        page.goto(address)
        page.get_by_text("the end", exact=True).wait_for(timeout=1000 * PATIENCE)
        found = page.evaluate(
            f"[...document.querySelectorAll(`{MADE}`)].map(one => one.outerHTML.slice(0, 200))"
        )
        shown = page.locator("body").inner_text()
        assert not found and not [url for url in others if not url.startswith("data:")]
        assert "a.example/x" in shown and "check_circle: verified" in shown
