"""``collegium`` as people start it: as a process of its own, or in the test's process.

Both return exit code, stdout and stderr. A process costs the imports anew and
proves that the command needs nothing of the test's; one such test per command is enough.
"""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from collegium.cli import main as cli
from tests.support.machine.patience import PATIENCE

COMMAND = [sys.executable, "-m", "collegium"]
Done = subprocess.CompletedProcess[str]


def start(*arguments: object) -> Done:
    """Runs a command as a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def ask(*arguments: object, types: str = "") -> Done:
    """Runs a command in this process, for what starts no other.

    ``types`` is what a person types.
    """
    words = ["collegium", *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        with (
            patch.object(sys, "argv", words),
            patch.object(sys, "stdin", io.StringIO(types)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        os.umask(umask)
    return Done(words, code, out.getvalue(), err.getvalue())
