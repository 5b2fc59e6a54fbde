"""A hospital's process on the network: where all that it is made of is put together, and ended.

The site file is read once here, for what cannot change while the process is at work: the
coordinator's address and the machine's resources. Each decision about a study reads it
anew, once (``study_authorization``).
"""

import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

from protocol.errors import PolicyRefused, WorkspaceRefused
from protocol.transport.tracing import NOT_TRACED, Tracing
from silos.config.attestation.kernel import own_evidence
from silos.config.coordinator_identity import require_coordinator
from silos.config.credentials import Credentials
from silos.config.directory import alone, is_at_work, opened
from silos.config.site_file import site_file_of, source_of
from silos.config.study_authorization import StudyAuthorization
from silos.isolation.confinement import leave_no_core
from silos.isolation.remote_trainer import RemoteTrainer, machine_of
from silos.network.metrics import SiloMetrics
from silos.network.supervisor import STATUS_FILE, Supervisor, SupervisorSettings
from silos.rounds.silo import Silo

_LOG_BYTES, _LOG_FILES = 10 << 20, 5
#: Seconds for a supervisor to end.
_END_SECONDS = 60.0


@contextmanager
def hospital_process(
    home: Path,
    *,
    test_noise: bool = False,
    tracing: Tracing = NOT_TRACED,
    metrics: SiloMetrics | None = None,
) -> Iterator[Supervisor]:
    """Yields the supervisor of the hospital in a folder, and logs to ``silo.log`` there.

    Args:
        home: the hospital's folder; this process alone works in it.
        test_noise: fixed noise, of a simulated hospital only.
        tracing: records a span for each delivery.
        metrics: counts deliveries, where the hospital's people ask for it.

    Raises:
        WorkspaceRefused: another supervisor is at work, or the hospital is not enrolled.
        SiteFileRefused, PolicyRefused: the site file or the enrolment lacks something; says what.
        LedgerBroken: the database is damaged.
    """
    leave_no_core()
    with alone(home), opened(home) as (site, hospital), _logged(home / "silo.log"):
        if test_noise and not hospital.simulated:
            raise PolicyRefused("--test-noise protects nobody: a real hospital does not use it")
        if site.coordinator is None:
            raise PolicyRefused(
                "site.yaml: coordinator is missing: collegium silo enrol INVITATION writes its "
                "address there"
            )
        source_of(site, home)  # refused now rather than when a run is announced
        credentials = Credentials(home / "tls", site.name)
        coordinator = require_coordinator(credentials.coordinator, hospital)
        silo = Silo(
            site.name,
            home,
            partial(RemoteTrainer, machine_of(home, site.resources)),
            simulated=hospital.simulated,
            hospital=hospital,
            authorization=StudyAuthorization(home, hospital),
        )
        yield Supervisor(
            home,
            hospital,
            silo,
            credentials,
            coordinator_public=coordinator.key,
            url=site.coordinator,
            settings=SupervisorSettings(
                fixed_noise=test_noise,
                evidence=partial(own_evidence, home),
                tracing=tracing,
                metrics=metrics,
                retention_days=lambda: site_file_of(home).patients.retention_days,
            ),
        )


def end_process(home: Path) -> bool:
    """Ends the supervisor that runs in a hospital's folder; what was sent stays charged.

    Returns:
        Whether one was running.

    Raises:
        WorkspaceRefused: it does not end.
    """
    try:
        number = int(json.loads((home / STATUS_FILE).read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        number = 0
    if not number or not is_at_work(home):
        return False
    os.kill(number, signal.SIGTERM)
    end = time.monotonic() + _END_SECONDS
    while is_at_work(home):
        if time.monotonic() > end:
            raise WorkspaceRefused(f"the supervisor (process {number}) does not end: kill it")
        time.sleep(0.1)
    return True


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Keeps the hospital's log in a file, and shows it, until the block ends."""
    form = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    logger = logging.getLogger("collegium.silo")
    logger.setLevel(logging.INFO)
    kept = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8")
    handlers: tuple[logging.Handler, ...] = (kept, logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(form)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
