"""What every test of a page has in common."""

import functools
from collections.abc import Iterator

import pytest
from streamlit.components.v2 import manifest_scanner


@pytest.fixture(scope="session", autouse=True)
def components_found_once() -> Iterator[None]:
    """Lets Streamlit look through the installed packages once, and not for every page.

    A server does so when it starts. Its test of a page does it each time, which takes longer than
    most pages; what is installed stays the same meanwhile.
    """
    scan = "scan_component_manifests"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, scan, functools.cache(getattr(manifest_scanner, scan)))
        yield
