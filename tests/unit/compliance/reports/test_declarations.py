"""The consortium file: read with the line of every mistake, and written as a template."""

import json
import re

import pytest

from compliance.reports.declarations import (
    declarations_schema,
    declarations_template,
    read_declarations,
)
from compliance.reports.declarations.template import parts_of
from compliance.reports.kinds import KINDS
from protocol.errors import WorkspaceRefused
from tests import ROOT
from tests.support.simulated import dossiers
from tests.support.simulated.reports import subject_of

HEAD = "collegium_consortium: 1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}officr:\n  by: A\n", "c.yaml:2: officr: unknown key; did you mean 'officer'?"),
        (f"{HEAD}officer:\n  by: A\n  on: '2026-13-01'\n  text: x\n", "c.yaml:4: officer.on: must"),
        (f"{HEAD}officer:\n  on: '2026-11-01'\n  text: x\n", "c.yaml:2: officer.by: "),
        (f"{HEAD}officer:\n  by: ''\n  on: '2026-11-01'\n  text: x\n", "c.yaml:3: officer.by: "),
        (f"{HEAD}officer:\n  by: A\n  on: 2026-11-01\n  text: x\n", "put '2026-11-01' in quotes"),
        (f"{HEAD}officer: x\n", "c.yaml:2: officer: "),
        ("collegium_consortium: 2\n", "c.yaml:1: collegium_consortium: "),
        (f"{HEAD}officer: [\n", "c.yaml:"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(WorkspaceRefused) as refused:
        read_declarations(text, "c.yaml")
    assert said in str(refused.value)


def test_the_template_is_a_consortium_file_that_declares_nothing() -> None:
    found = read_declarations(declarations_template(), "c.yaml")
    assert all(found.part(key) is None for key in parts_of())


def test_the_template_filled_in_declares_every_part() -> None:
    text = re.sub(r"^# (?=\w+:$|  \w+:|  - \w+:|    \w+:)", "", declarations_template(), flags=re.M)
    found = read_declarations(text, "c.yaml")
    assert all(found.part(key) is not None for key in parts_of())
    assert found.approvals and found.signatories


def test_every_part_is_asked_for_by_some_report() -> None:
    subject = subject_of(dossiers.finished())
    asked = {
        claim.basis.remedy.split()[1].rstrip(":")
        for kind in KINDS.values()
        for section in kind.make(subject).sections
        for block in section.blocks
        for claim in getattr(block, "items", ())
        if getattr(getattr(claim, "basis", None), "remedy", "").startswith("write ")
    }
    assert set(parts_of()) <= asked


def test_the_published_schema_is_that_of_the_record() -> None:
    stored = (ROOT / "docs" / "consortium.schema.json").read_text()
    assert json.loads(stored) == json.loads(declarations_schema())


def test_the_example_declares_for_every_hospital_of_the_demo() -> None:
    path = ROOT / "examples" / "heart-disease" / "consortium.yaml"
    found = read_declarations(path.read_text(), path.name)
    assert [one.hospital for one in found.approvals] == [
        "cleveland", "hungarian", "switzerland", "va",
    ]  # fmt: skip
