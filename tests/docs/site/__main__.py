"""``python -m tests.docs.site``: builds the documentation site; a warning is an error."""

import argparse
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from tests.docs.site.check import fetched
from tests.docs.site.contents import contents, toctree
from tests.docs.site.pages import page_text, place_of, sources
from tests.docs.site.reference import reference
from tests.structure.floors import ROOT

_HERE = Path(__file__).parent


def gather(to: Path) -> None:
    """Writes the pages of which the site is built, and the files that they link to."""
    copied: dict[str, Path] = {}
    texts = {place_of(source): page_text(source, copied) for source in sources()}
    texts["index.md"] += contents(texts)
    decisions = sorted(place for place in texts if place.startswith("adr/0"))
    texts["adr/index.md"] += toctree("", [place.removeprefix("adr/") for place in decisions])
    for place, text in (texts | reference()).items():
        target = to / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for place, source in copied.items():
        target = to / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def build(to: Path, jobs: str) -> int:
    """Builds the site anew in ``to/site`` and returns 0, or 1 after saying what is wrong."""
    shutil.rmtree(to, ignore_errors=True)
    gather(to / "pages")
    words = ["-q", "-W", "--keep-going", "-j", jobs, "-d", str(to / "doctrees"), "-c", str(_HERE)]
    if sphinx([*words, str(to / "pages"), str(to / "site")]):
        return 1
    found = fetched(to / "site")
    print("\n".join(found) if found else f"The site is in {to / 'site' / 'index.html'}")
    return 1 if found else 0


def main() -> int:
    """Builds the site where ``--to`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "docs")
    parser.add_argument("--jobs", default="auto", help="processes; auto: as many as processors")
    given = parser.parse_args()
    return build(given.to, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
