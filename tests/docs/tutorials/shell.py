"""A shell in which a tutorial is run: bash, with ``collegium`` in the test's own process.

Starting Python and importing takes longer than most commands do. So ``collegium`` is a script that
hands its words to the test's process and prints what comes back; what trains, serves or waits is
started as people start it.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.support.machine.commands import ask

#: The words with which commands begin that are processes of their own.
ALONE = (
    ("simulate",), ("sweep",), ("demo",), ("network-demo",), ("redteam",), ("dashboard",),
    ("coordinator", "start"), ("coordinator", "run"), ("silo", "start"), ("silo", "results"),
    ("infer",), ("kit",), ("reproduce",),
)  # fmt: skip
_CLIENT = """\
#!{python} -SE
import json, os, socket, sys
given = sys.argv[1:]
if any(tuple(given[: len(words)]) == words for words in {alone!r}):
    os.execv({python!r}, [{python!r}, "-m", "collegium", *given])
line = socket.socket(socket.AF_UNIX)
line.connect({place!r})
said = {{k: v for k, v in os.environ.items() if k.startswith("COLLEGIUM_")}}
line.sendall(json.dumps([given, os.getcwd(), said]).encode() + b"\\n")
out, err, code = json.loads(line.makefile().read())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
_END = "end-of-command"


@dataclass
class TutorialShell:
    """One bash in a folder of its own."""

    process: "subprocess.Popen[str]"

    def run(self, command: str) -> tuple[str, int]:
        """Runs a command; returns what it printed on stdout and stderr, and its exit code."""
        into, out = self.process.stdin, self.process.stdout
        assert into is not None and out is not None
        into.write(f"{{ {command}\n}} < /dev/null\ncode=$?; echo; echo {_END} $code\n")
        into.flush()
        printed: list[str] = []
        for line in out:
            if line.startswith(_END):
                return "".join(printed), int(line.split()[1])
            printed.append(line)
        raise AssertionError(f"the shell ended: {''.join(printed)}")


@contextmanager
def tutorial_shell(folder: Path) -> Iterator[TutorialShell]:
    """Yields a shell in a folder; what it left running is ended afterwards."""
    (folder / "bin").mkdir()
    place = str(folder / "bin" / "line")
    client = folder / "bin" / "collegium"
    client.write_text(_CLIENT.format(python=sys.executable, alone=ALONE, place=place))
    client.chmod(0o755)
    (folder / "work").mkdir()
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(place)
        line.listen()
        answering = threading.Thread(target=_answer, args=(line,), daemon=True)
        answering.start()
        with subprocess.Popen(
            ["bash", "-s"],
            cwd=folder / "work",
            env=os.environ
            | {"PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
            | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            shell = TutorialShell(process)
            try:
                yield shell
            finally:
                shell.run("kill $(jobs -p) 2> /dev/null; wait")
                process.stdin.close()  # type: ignore[union-attr]
        line.shutdown(socket.SHUT_RDWR)
        answering.join()


def _answer(line: socket.socket) -> None:
    """Runs commands as they come, one after another, until the line is closed."""
    while True:
        try:
            asked, _ = line.accept()
        except OSError:
            return
        # A client that a shell ended waits for no answer.
        with asked, suppress(BrokenPipeError, ValueError):
            said = _done(*json.loads(asked.makefile().readline()))
            asked.sendall(json.dumps(said).encode())


def _done(given: list[str], folder: str, said: dict[str, str]) -> list[Any]:
    before, kept = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ.update(said)
    try:
        done = ask(*given)
        return [done.stdout, done.stderr, done.returncode]
    except Exception:  # noqa: BLE001  (told where the command was typed)
        return ["", traceback.format_exc(), 1]
    finally:
        os.chdir(before)
        for name in said.keys() - kept.keys():
            del os.environ[name]
