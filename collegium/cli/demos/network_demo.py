"""The network on one machine: a coordinator and four hospitals, each an operating-system process.

Nothing is short-cut: every step is the command that its person would type, the
line is real TLS, every hospital trains in a process of its own. Only the hospitals are marked
as simulated, so that ``--test-noise`` may make the run comparable with a
simulation, bit for bit. Without it the noise is real, and privacy is claimed.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from collegium.output.folder_page import finish_folder
from collegium.studies.forecast import forecast_text
from collegium.studies.planning.settings import assumed_auroc
from coordinator.database.workspace import Workspace
from pipelines.recipes.admission import wheels_in
from protocol.errors import CohortRefused, FederationError, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.task.networks.recipe_network import RecipeNetwork
from silos.config.policy import columns_read

_APPROVER = "Dr. A. Officer"
_SECONDS = 600.0


class NetworkDemo:
    """One consortium in a folder: ``OUT/coordinator`` and ``OUT/<hospital>``."""

    def __init__(
        self, study: Study, document: Path, data: Path, out: Path, console: Console, *,
        test_noise: bool,
    ):  # fmt: skip
        self._study, self._document, self._data = study, document, data
        self._out, self._console = out, console
        self._coordinator = out / "coordinator"
        self._url = ""
        self._noise = ("--test-noise",) if test_noise else ()

    def run(self) -> dict[str, Any]:
        """Sets everything up, runs the study, and returns the run's JSON.

        Raises:
            FederationError: a step was refused; says which command, and what it said.
        """
        port = _free_port()
        self._url = f"https://127.0.0.1:{port}"
        with ExitStack() as processes:
            self._say("the coordinator makes its folder, certificates and keys")
            self._command("coordinator", "init", "--home", self._coordinator, "--host", "127.0.0.1")
            processes.enter_context(
                self._process(
                    "coordinator", "start", "--home", self._coordinator,
                    "--host", "127.0.0.1", "--port", port, "--step-seconds", 120,
                )
            )  # fmt: skip
            self._await_service()
            self._say("each hospital makes keys, writes its site file, enrols")
            self._each(self._enrol)
            self._say("the hospitals compare and sign the founding roster")
            self._command("coordinator", "roster", "propose", "--home", self._coordinator)
            self._each(self._sign)
            self._say("the lead registers the study; each hospital's officer approves it")
            self._command("study", "register", self._document, "--home", self._coordinator)
            self._each(self._approve)
            self._say("the supervisors start; each trains in a process of its own")
            for site in self._study.site_names:
                processes.enter_context(
                    self._process("silo", "start", "--home", self._out / site, *self._noise)
                )
            self._say("the run: every step over TLS")
            begun = self._command(
                "coordinator", "run", self._study.digest, "--home", self._coordinator,
                "--wait", *self._noise, "--json",
            )  # fmt: skip
            run_id = json.loads(begun)["run_id"]
        finished = finish_folder(Workspace(self._coordinator), run_id)
        self._say(f"all have stopped; to start them again, on the port that they know ({port}):")
        for command in self._starts(port):
            self._console.print(f"  collegium {command}", markup=False, soft_wrap=True)
        return finished

    def _starts(self, port: int) -> list[str]:
        """Returns the commands that start the coordinator and every hospital again."""
        return [
            f"coordinator start --home {self._coordinator} --host 127.0.0.1 --port {port}",
            *(f"silo start --home {self._out / site}" for site in self._study.site_names),
        ]

    def _enrol(self, site: str) -> None:
        home = self._out / site
        self._command(
            "silo", "init", "--home", home, "--site", site, "--simulated",
            "--coordinator", self._url,
        )  # fmt: skip
        site_file = home / "site.yaml"
        site_file.write_text(self._allowing(site_file.read_text("utf-8"), site), "utf-8")
        self._command(
            "silo", "grant", "--home", home, "--epsilon", 10, "--delta", self._delta,
            "--signed-by", _APPROVER,
        )  # fmt: skip
        invitation = self._out / f"{site}.invitation"
        invited = self._command(
            "coordinator", "invite", site, "--home", self._coordinator,
            "--url", self._url, "--to", invitation, "--json",
        )  # fmt: skip
        root = json.loads(invited)["root_fingerprint"]  # read out by phone, elsewhere
        self._command("silo", "enrol", invitation, "--home", home, "--root", root)

    @property
    def _delta(self) -> float:
        return float(getattr(self._study.privacy, "delta", 1e-5))

    def _allowing(self, template: str, site: str) -> str:
        """Returns the site file as the hospital's people would fill it in for this study."""
        study = self._study
        records = study.site(site).records
        if records is None or not (self._data / records).is_file():
            raise CohortRefused(f"--data {self._data} holds no records of {site}: {records}")
        words = " ".join(re.findall(r"\w+", study.purpose)[:3])
        epsilon = getattr(study.privacy, "epsilon", 1.0)
        recipe = isinstance(study.task.network, RecipeNetwork)
        networks = [] if recipe else study.task.network.targets
        wheels = wheels_in(self._document.parent) if study.recipes else {}
        recipes = [
            {"wheel": str(wheels[each.sha256][0].resolve()), "sha256": each.sha256}
            for each in study.recipes
            if each.sha256 in wheels
        ]
        filled = {
            "purposes: []": f"purposes: [{json.dumps(words)}]",
            "tasks: []": f"tasks: [{study.task.kind}]",
            "networks: []": f"networks: [{', '.join(networks)}]",
            "recipes: []": f"recipes: {json.dumps(recipes)}",
            "columns: []": f"columns: {json.dumps(columns_read(study))}",
            "splits: [keyed_hash]": f"splits: [{study.split.method}]",
            "modes: [per_site]": f"modes: [{study.privacy.mode}]",
            "epsilon_at_most: 1.0": f"epsilon_at_most: {epsilon}",
            "delta_at_most: 1.0e-5": f"delta_at_most: {self._delta}",
            "approvers: []": f"approvers: [{json.dumps(_APPROVER)}]",
            "# data: {kind: file, path: records.csv}": (
                f"data: {{kind: file, path: {json.dumps(str((self._data / records).resolve()))}}}"
            ),
        }
        for empty, full in filled.items():
            if empty not in template:
                raise WorkspaceRefused(f"the site file's template has no {empty!r} any more")
            template = template.replace(empty, full, 1)
        return template

    def _sign(self, site: str) -> None:
        shown = self._command("silo", "roster", "show", "--home", self._out / site, "--json")
        digest = json.loads(shown)["proposed"]["digest"]
        self._command("silo", "roster", "sign", "--home", self._out / site, "--digest", digest)

    def _approve(self, site: str) -> None:
        self._command(
            "silo", "approve", self._document, "--home", self._out / site,
            "--by", _APPROVER, "--yes",
        )  # fmt: skip

    def _each(self, work: Any) -> None:
        """Does the same for every hospital, as many at once as there are processors."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for site, _ in zip(
                self._study.site_names, pool.map(work, self._study.site_names), strict=True
            ):
                self._say(f"  {site}")

    def _await_service(self) -> None:
        end = time.monotonic() + _SECONDS
        while True:
            try:
                self._command("coordinator", "status", "--home", self._coordinator)
                return
            except FederationError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def _command(self, *given: object) -> str:
        """Runs one command to its end; returns what it wrote for machines."""
        done = subprocess.run(  # noqa: S603  (our own command)
            _program(given), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise FederationError(f"collegium {' '.join(map(str, given[:2]))}: {said[-2000:]}")
        return done.stdout

    @contextmanager
    def _process(self, *given: object) -> Iterator[None]:
        """Keeps a command running while the block runs; its words go to a log in the folder."""
        name = "-".join(str(part) for part in given[:2])
        place = Path(str(given[3])).name
        with (self._out / f"{place}-{name}.log").open("w") as words:
            process = subprocess.Popen(  # noqa: S603  (our own command)
                _program(given), stdout=words, stderr=subprocess.STDOUT
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def network_demo(
    study: Study, document: Path, data: Path, out: Path, console: Console, *,
    test_noise: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Runs a study over the network in a new folder; returns the run's JSON.

    What the released figures will be able to say is said first.

    Raises:
        WorkspaceRefused: the folder holds something already.
        FederationError: a step was refused.
    """
    if out.exists() and any(out.iterdir()):
        raise WorkspaceRefused(f"--out {out} already holds files: choose a new folder")
    out.mkdir(parents=True, exist_ok=True)
    for line in forecast_text(study, auroc=assumed_auroc(study)):
        console.print(line, markup=False, soft_wrap=True)
    demo = NetworkDemo(study, document, data, out, console, test_noise=test_noise)
    return demo.run()


def _program(given: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "collegium", *map(str, given)]


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
