"""Verification: true where everything held, and nothing raised over what did not."""

import json
from pathlib import Path

import pytest

import collegium as cg
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from tests.support.hospital.hospital_home import make_east
from tests.support.machine.commands import ask
from tests.support.simulated.output_folder import change, kept_note


def test_a_genuine_folder_is_verified_as_by_the_command(genuine: Path, tmp_path: Path) -> None:
    (tmp_path / "head").write_bytes(kept_note(genuine))
    found = cg.verify(genuine, checkpoints=[tmp_path / "head"])
    assert found and not found.faults
    found.require()
    command = ("audit", "verify", "--out", genuine, "--checkpoint", tmp_path / "head", "--json")
    told = json.loads(ask(*command).stdout)
    assert set(found.facts) == set(told)
    assert list(found.not_checked) == told["not_checked"]
    assert repr(found).splitlines()[-1].startswith("verified at ")
    assert 'class="statement good"' in found._repr_html_()


def test_a_changed_folder_is_false_names_its_faults_and_stops_who_requires_it(
    folder: Path,
) -> None:
    change(folder, "UPDATE run SET exact_json = replace(exact_json, '0.9', '0.8')")
    found = cg.verify(cg.open(folder))
    assert not found
    assert any("run-1" in fault for fault in found.faults)
    assert 'class="statement bad"' in found._repr_html_()
    assert "NOT verified" in repr(found)
    with pytest.raises(StoreBroken, match=r"\d faults?: .* is not what was logged\. Stop"):
        found.require()


def test_nothing_to_verify_is_a_failure(genuine: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="holds no run"):
        cg.verify(tmp_path)
    with pytest.raises(MessageRefused, match="64 hexadecimal digits"):
        cg.verify(genuine, key="abc")
    with pytest.raises(WorkspaceRefused, match="cannot be read"):
        cg.verify(genuine, report=tmp_path / "no-report.html")


def test_another_key_than_the_folders_is_not_verified(genuine: Path) -> None:
    found = cg.verify(genuine, key="00" * 32)
    assert not found and found.faults


def test_a_hospitals_own_folder_is_held_to_itself(tmp_path: Path) -> None:
    found = cg.verify(make_east(tmp_path))
    assert found and found.facts["site"] == "east"
    with pytest.raises(MessageRefused, match="hospital's own folder"):
        cg.verify(tmp_path / "east", key="00" * 32)
