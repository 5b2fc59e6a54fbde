"""The README and the documents are kept true."""

import pkgutil
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from collegium.cli.main import app
from compliance.ledger.privacy_plan import PrivacyPlan
from protocol import errors
from protocol.study.privacy import DistributedPrivacy
from protocol.study.study import Study
from tests import ROOT
from tests.structure.floors import ROOMS

DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/tutorials/*.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)
#: Pages of other projects that documents name.
ELSEWHERE = {"MODEL_CARD.md", "docs/design/distributed_provisioning.md", "Security.md"}
_WITH_DOCUMENTS = ("docs", "examples", "tests")


def commands() -> list[tuple[str, list[str]]]:
    """Every collegium command that a document shows, with its words."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text().replace("\\\n", " ")
        for line in re.findall(r"^\s*(?:\$ )?(collegium [a-z].*)$", text, re.MULTILINE):
            words = shlex.split(line.split("#")[0].split("`")[0])
            found.append((f"{path.name}: {line.strip()[:60]}", words[1:]))
    return found


@pytest.mark.parametrize(("where", "words"), commands(), ids=[w for w, _ in commands()])
def test_every_command_in_the_documents_exists_with_its_options(
    where: str, words: list[str]
) -> None:
    assert not unknown(words), where


def unknown(words: Sequence[str]) -> list[str]:
    """What of a command line is no command, or no option of it."""
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands"):
        name = rest.pop(0) if rest else ""
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    known = {opt for option in command.params for opt in (*option.opts, *option.secondary_opts)}
    return [w for w in rest if w.startswith("--") and w.partition("=")[0] not in {*known, "--help"}]


def test_misspelt_commands_and_options_are_unknown() -> None:
    assert unknown(["audit", "recompte", "evaluation"]) == ["recompte"]
    assert unknown(["study", "chekc", "heart/study.yaml"]) == ["chekc"]
    assert unknown(["simulate", "h.yaml", "--dat", "x"]) == ["--dat"]
    assert unknown(["simulate", "h.yaml", "--data", "x"]) == []


def test_shared_noise_in_the_study_page_keeps_the_epsilon_beside_it() -> None:
    read = YAML(typ="safe", pure=True).load
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/study.md").read_text(), re.DOTALL)
    (shared,) = [read(block) for block in blocks if "mode: distributed" in block]
    study = Study.model_validate(read(blocks[0]) | shared)
    assert isinstance(study.privacy, DistributedPrivacy)
    assert PrivacyPlan.of(study, study.privacy).epsilon <= study.privacy.epsilon


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as hosts of Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    bare = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in bare}


def test_every_link_to_a_file_and_its_heading_leads_somewhere() -> None:
    for path in {*DOCUMENTS, *ROOT.glob("docs/adr/*.md"), *ROOT.glob("*.md")}:
        for link in re.findall(r"\]\(([^):]+)\)", path.read_text(encoding="utf-8")):
            target, _, heading = link.partition("#")
            there = path.parent / target if target else path
            assert there.exists(), f"{path.name} points to {target}"
            assert not heading or heading in anchors(there), f"{path.name} points to {link}"


def test_every_document_and_test_that_is_cited_is_there() -> None:
    """Nobody is sent to a page that is not in the repository."""
    code = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    cited = 0
    for path in {*code, *ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.md")}:
        text = path.read_text(encoding="utf-8")
        for page in re.findall(r"``?((?:docs/|examples/)?[\w/\-]+\.md)``?", text):
            if page in ELSEWHERE:
                continue
            places = (ROOT / page, ROOT / "docs" / page, path.parent / page)
            assert any(place.exists() for place in places), f"{path.name} cites {page}"
            cited += 1
        for test in re.findall(r"`(tests/[\w/]+\.py)`", text):
            assert (ROOT / test).exists(), f"{path.name} cites {test}"
            cited += 1
    assert cited > 100


def test_every_place_that_the_glossary_names_is_there() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{'|'.join(ROOMS)})\.[\w.]+)`", text)
    assert len(named) > 40
    for name in named:
        assert pkgutil.resolve_name(name) is not None, name


def test_every_file_that_a_docstring_names_is_there() -> None:
    code = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    names = {path.name for path in code}
    cited = 0
    for path in code:
        for name in re.findall(r"``(?:\w+/)*(\w+\.py)``", path.read_text(encoding="utf-8")):
            assert name in names, f"{path.relative_to(ROOT)} names {name}"
            cited += 1
    assert cited > 20


def test_the_index_of_decisions_names_every_one() -> None:
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", index, re.MULTILINE)
    pages = sorted(ROOT.glob("docs/adr/0*.md"))
    assert [page.name for page in pages] == [name for _, _, name in rows]
    for (number, title, name), page in zip(rows, pages, strict=True):
        first = page.read_text(encoding="utf-8").splitlines()[0]
        assert name.startswith(f"{int(number):04}-") and first.endswith(title)


def test_every_error_stands_in_the_tree_that_is_drawn() -> None:
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert re.search(rf"\b{name}\b", tree), name


def test_the_study_page_shows_what_the_check_prints() -> None:
    text = (ROOT / "docs/study.md").read_text()
    ((command, shown),) = re.findall(r"```console\n\$ collegium (.*?)\n(.*?)```", text, re.DOTALL)
    words = [str(ROOT / word) if "/" in word else word for word in shlex.split(command)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    lines = shown.splitlines()
    start = printed.index(lines[0])
    assert printed[start : start + len(lines)] == lines
    assert max(map(len, lines)) <= 80


def _prose(text: str) -> Iterator[str]:
    """Yields the lines of a document outside code and tables."""
    in_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("|", "    ")):
            yield line


def test_prose_of_every_document_is_at_most_120_characters_wide() -> None:
    places = [ROOT.glob("*.md"), *((ROOT / name).rglob("*.md") for name in _WITH_DOCUMENTS)]
    documents = [path for found in places for path in found]
    assert len(documents) > 40
    lines = ((path.name, line) for path in documents for line in _prose(path.read_text()))
    wide = [(name, line) for name, line in lines if len(line) > 120]
    assert not wide
