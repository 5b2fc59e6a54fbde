"""What a public host runs and asks for: the commands that README.md and CONTRIBUTING.md name."""

import re
import subprocess
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.structure.floors import ROOT

WORKFLOW = ROOT / ".github/workflows/ci.yml"
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(WORKFLOW)
    return found


def commands() -> set[str]:
    """The targets of make that the workflow runs."""
    steps = [step for job in workflow()["jobs"].values() for step in job["steps"]]
    runs = " && ".join(step["run"] for step in steps if "run" in step)
    return set(re.findall(r"\bmake ([a-z-]+)", runs))


def test_the_workflow_runs_what_the_documents_name() -> None:
    documents = "\n".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"^make ([a-z-]+)", documents, re.MULTILINE))
    assert {"test", "check", "demo", "coverage", "test-pg"} <= commands()
    assert commands() - {"postgres"} <= named


def test_the_workflow_runs_all_that_our_own_host_runs() -> None:
    ours = set(re.findall(r"^make ([a-z-]+)", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    assert {"test", "check"} <= ours <= commands() | {"tools"}


@pytest.mark.parametrize("target", sorted(commands()))
def test_make_knows_the_command(target: str) -> None:
    """Only the plan is asked for; nothing is run."""
    asked = ["make", "--dry-run", "--always-make", target, "TORCH=cpu"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tests_run_on_every_python_that_we_promise() -> None:
    versions = workflow()["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


def test_a_job_may_only_read_and_ends() -> None:
    read = workflow()
    assert read["permissions"] == {"contents": "read"}
    for job in read["jobs"].values():
        assert job["timeout-minutes"] <= 60
        (checkout,) = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert checkout["with"] == {"persist-credentials": False}


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.name for path in TEMPLATES])
def test_a_form_asks_in_fields_that_the_host_knows(path: Any) -> None:
    form = YAML(typ="safe", pure=True).load(path)
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    kinds = {"markdown": "value", "textarea": "label", "input": "label"}
    for field in form["body"]:
        assert kinds[field["type"]] in field["attributes"]


def test_whoever_reports_a_fault_is_told_what_not_to_write() -> None:
    text = (ROOT / ".github/ISSUE_TEMPLATE/fault.yml").read_text()
    assert "SECURITY.md" in text and "patient's data" in text
    change = (ROOT / ".github/pull_request_template.md").read_text()
    for command in ("make test", "make check"):
        assert command in change
