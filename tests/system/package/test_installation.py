"""The Makefile's installation: what was not finished is begun again, by a stand-in for Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import ROOT

#: Makes a folder that looks like a virtual environment; its Python writes down what pip is asked.
STAND_IN = """\
#!/bin/bash
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
  printf '#!/bin/bash\\necho ran "$@"\\n' > "$3/bin/collegium" && chmod +x "$3/bin/collegium"
  echo "venv" >> "$WRITTEN"; exit 0
fi
[ "$*" = "-m pip --version" ] && exit 0
echo "$*" >> "$WRITTEN"
[ -n "$FAILS" ] && case "$*" in *"$FAILS"*) exit 1;; esac
exit 0
"""


class Checkout:
    """A copy of what the installation reads, in a folder whose name has a blank."""

    def __init__(self, folder: Path) -> None:
        self.root, self._written = folder / "a checkout", folder / "written"
        self.root.mkdir()
        for path in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("*.lock")):
            shutil.copy(path, self.root)
        self._python = folder / "python"
        self._python.write_text(STAND_IN)
        self._python.chmod(0o755)

    def make(self, *words: str, fails: str = "") -> tuple[int, list[str]]:
        """Returns make's exit code, and what was asked of Python."""
        self._written.write_text("")
        found = {"WRITTEN": str(self._written), "FAILS": fails, "PATH": os.environ["PATH"]}
        command = ["make", *words, f"PYTHON={self._python}"]
        done = subprocess.run(command, cwd=self.root, env=found, capture_output=True, text=True)
        return done.returncode, self._written.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_finished_installation_is_used_at_once(checkout: Checkout) -> None:
    code, asked = checkout.make("demo")
    assert code == 0 and asked[0] == "venv" and sum("install" in line for line in asked) == 3
    assert checkout.make("demo") == (0, [])


def test_an_upgrade_that_failed_half_way_is_never_taken_for_the_whole(checkout: Checkout) -> None:
    checkout.make("demo")
    lock = checkout.root / "requirements.lock"
    before = lock.read_text()
    lock.write_text(before + "# newer\n")
    assert checkout.make("demo", fails="requirements.lock")[0] != 0
    lock.write_text(before)
    code, asked = checkout.make("demo")
    assert code == 0 and sum("install" in line for line in asked) == 3


def test_another_build_of_torch_is_another_installation(checkout: Checkout) -> None:
    checkout.make("demo")
    code, asked = checkout.make("demo", "TORCH=cuda")
    assert code == 0 and any("torch-cuda.lock" in line for line in asked)


def test_tests_add_their_tools_and_nothing_else(checkout: Checkout) -> None:
    checkout.make("demo")
    code, asked = checkout.make("test")
    installed = [line for line in asked if "install" in line]
    assert code == 0
    tools, data, signing, crates = installed
    assert "requirements-dev.lock" in tools
    assert "--target" in data and "tests/support/data.lock" in data  # no package of the environment
    assert "--target" in signing and "tests/support/model-signing.lock" in signing
    assert "--target" in crates and "tests/support/ro-crate.lock" in crates
    assert asked[-1] == "-m pytest"
