"""The join phase of one run: from the invitations to the first model.

Hospitals are invited until the last round has ended: one that is late joins when it comes.
Training begins when enough have joined, from parameters that all of them have built.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from coordinator.rounds.run_records import RunRecord
from coordinator.runs.monitoring.run_monitor import RunMonitor
from coordinator.runs.participants import RunParticipants
from coordinator.runs.resources import RunResources
from coordinator.runs.run_control import RunControl
from protocol.errors import MessageRefused, QuorumLost, StoreBroken
from protocol.study.study import Study
from protocol.transport.requests import MAX_BLOB_BYTES, Answer, Delivery
from protocol.transport.run_announcement import parse_joined
from protocol.vectors.tensors import Tensors, decode_tensors, model_digest

log = logging.getLogger("collegium.coordinator")


class JoinPhase:
    """Takes hospitals into one run.

    Args:
        study: what they join.
        invitation: the signed announcement, as it is delivered to each.
        participants: those who have joined.
        record: where their signed summaries are kept.
        resources: the line to the hospitals, and how long they are waited for.
        control, monitor: of the run.
    """

    def __init__(
        self,
        study: Study,
        invitation: Delivery,
        *,
        participants: RunParticipants,
        record: RunRecord,
        resources: RunResources,
        control: RunControl,
        monitor: RunMonitor,
    ) -> None:
        self._study, self._invitation = study, invitation
        self._participants, self._record = participants, record
        self._mailbox, self._blobs = resources.mailbox, resources.blobs
        self._timeouts = resources.timeouts
        self._control, self._monitor = control, monitor

    @contextmanager
    def inviting(self) -> Iterator[None]:
        """Invites the hospitals that have not joined, again and again, until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._invite, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()  # a hospital that joined now would wait for a run that has ended
            thread.join(self._timeouts.invitation)

    def _invite(self, ended: threading.Event) -> None:
        while not (ended.is_set() or self._control.stopped.is_set()):
            answered = self._participants.answered
            missing = [site for site in self._study.site_names if site not in answered]
            posted = {self._mailbox.post(site, self._invitation): site for site in missing}
            is_refused = False
            for site, answer in self._mailbox.collect(posted, self._timeouts.invitation, ended):
                is_refused = not self._is_taken(site, answer) or is_refused
            # One that has refused just now will refuse again; one that was silent may be back.
            ended.wait(0.2 if missing and not is_refused else self._timeouts.refused)

    def _is_taken(self, site: str, answer: Answer) -> bool:
        """Takes a hospital in, if its summary is its own and promises what the study fixes.

        Returns:
            Whether its answer was taken; else the others go on without it.
        """
        if answer.refusal is not None:
            return False
        run_id = self._invitation.run_id
        try:
            joined = parse_joined(answer.message)
            summary = self._record.read(site, joined.signed_summary)
        except MessageRefused as error:
            if self._participants.refuse(site, str(error)):
                log.warning("run %s: %s is left out: %s", run_id, site, error)
            return False
        try:
            self._record.keep(
                "approvals", self._participants.signed_summaries | {site: joined.signed_summary}
            )
        except (StoreBroken, MessageRefused) as error:  # asked again, it says the same
            log.warning("run %s: that %s joined cannot be kept: %s", run_id, site, error)
            return True
        self._participants.add(site, joined.signed_summary, summary, joined.model, joined.evidence)
        if site not in self._participants.joined:
            log.warning("run %s: %s builds another first model than most", run_id, site)
        return True

    def await_quorum(self) -> None:
        """Waits until as many hospitals have joined as a round needs, and a little for the others.

        Raises:
            QuorumLost: too few have joined in time.
            Halted: the run was stopped.
        """
        self._monitor.tell()
        least, sites = self._monitor.least, len(self._study.sites)
        if not self._have_joined(least, self._timeouts.joining):
            raise QuorumLost(
                f"{len(self._participants.joined)} of {sites} hospitals joined within "
                f"{self._timeouts.joining:g} s, {least} are needed"
            )
        self._have_joined(sites, min(self._timeouts.grace, self._timeouts.joining / 10))

    def _have_joined(self, count: int, seconds: float) -> bool:
        """Returns whether so many hospitals have joined; waits for them at most so long."""
        end = time.monotonic() + seconds
        while len(self._participants.joined) < count:
            if time.monotonic() > end:
                return False
            self._control.sleep(0.05)
        return True

    def first_model(self) -> Tensors:
        """Returns the parameters that training begins from; all who joined stand by their digest.

        Raises:
            Halted: the run was stopped.
        """
        wanted = self._participants.choose()
        while True:
            for site in sorted(self._participants.joined):
                self._control.require_going()
                model = self._model_of(site)
                if model is not None and model_digest(model) == wanted:
                    return model
            self._control.sleep(1.0)

    def _model_of(self, site: str) -> Tensors | None:
        """Returns the model that a hospital has built; None where it sends none to be read."""
        run_id, step = self._invitation.run_id, self._monitor.step
        draft = Delivery(number=0, run_id=run_id, kind="initial-model", message=b"")
        posted = {self._mailbox.post(site, draft, MAX_BLOB_BYTES): site}
        step.begin({site}, self._timeouts.step, None)
        try:
            for _, answer in self._mailbox.collect(
                posted, self._timeouts.step, self._control.stopped, step.look
            ):
                step.answered(site)
                if answer.blob is not None:
                    return decode_tensors(self._blobs.take(site, answer.blob.digest))
        except MessageRefused as error:
            log.warning("run %s: %s sent no model: %s", run_id, site, error)
        finally:
            step.stop()
        return None
