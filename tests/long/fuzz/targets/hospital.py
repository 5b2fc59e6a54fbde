"""The target with a whole hospital behind it: ``Silo.answer``, the one door to the coordinator.

What a hospital answers depends on what it took before: an input repeats with
its seed and all the inputs before it.
"""

import atexit
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from random import Random

from protocol import errors
from protocol.codec import to_json
from protocol.encoding import digest
from protocol.errors import FederationError, MessageRefused
from protocol.identity.roster import COORDINATOR
from protocol.secagg.context import RoundContext, round_context
from protocol.secagg.log_proof import LogProof
from protocol.secagg.messages import (
    SIGNATURE_BYTES,
    AdvertList,
    Message,
    RoundOpen,
    SenderList,
    SignatureList,
    SurvivorList,
    sign_message,
)
from protocol.secagg.server import SecAggServer, Step
from protocol.transport.steps import Reply, Request
from protocol.vectors.tensors import decode_tensors
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import spoil_bytes, spoil_tree, written
from tests.long.fuzz.targets.documents import spoilt_model
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study

_SITE = "east"
_KINDS: dict[Step, type[Message]] = {
    Step.ADVERTISE: RoundOpen,
    Step.SHARE: AdvertList,
    Step.MASKED: SenderList,
    Step.CONSISTENCY: SurvivorList,
    Step.UNMASK: SignatureList,
}
_CLASSES = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, FederationError)
}


class _Kept(logging.Handler):
    """Keeps the error that a hospital hides behind its most general refusal."""

    error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.error = record.exc_info[1] if record.exc_info else None


@contextmanager
def _listening() -> Iterator[_Kept]:
    logger, kept = logging.getLogger("collegium.silo"), _Kept()
    logger.addHandler(kept)
    logger.propagate = False
    try:
        yield kept
    finally:
        logger.propagate = True
        logger.removeHandler(kept)


@dataclass
class _Hospital:
    """Four hospitals that joined a run; the coordinator's key is in the fuzzer's hands."""

    federation: Federation
    attempts: int = 0
    requests: dict[Step, tuple[bytes, bytes | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.federation.join()
        self.key = self.federation.workspace.signing_key()
        self.log = CoordinatorLog(self.key, cosigners=self.federation.cosigners)
        self.model = self.federation.silos[_SITE].initial_model("run-1")
        with _listening():
            self.begin()

    def context(self, attempt: int) -> RoundContext:
        return round_context(
            self.federation.study, run_id="run-1", roster_digest=self.federation.roster.digest,
            round_kind="training", number=0, attempt=attempt, draw=0,
            log_size=self.log.head.size, log_root=self.log.head.root.hex(),
            model=decode_tensors(self.model),
        )  # fmt: skip

    def proof(self, context: RoundContext, site: str = _SITE) -> LogProof:
        """Returns what proves the log to a hospital, whatever head it holds."""
        held = self.federation.silos[site]._joined("run-1").known_head
        return self.log.proof(context, held.size if held else 0)

    def begin(self) -> None:
        """Goes through one honest attempt; its requests are what is spoilt later."""
        context = self.context(self.attempts)
        machine = SecAggServer(
            context=context,
            roster=self.federation.roster,
            key=self.key,
            log_proof=lambda site: self.proof(context, site),
        )
        self.attempts += 1
        for step in Step:
            for site in machine.asked(step):
                request = machine.request(step, site)
                blob = self.model if step is Step.ADVERTISE else machine.attachment(step, site)
                if site == _SITE:
                    self.requests[step] = request, blob
                reply = self.ask(step.value, request, blob, site=site)
                if reply.refusal is None:
                    machine.receive(step, site, reply.message, reply.blob)
            machine.close(step)

    def ask(
        self,
        step: str,
        message: bytes,
        blob: bytes | None,
        *,
        site: str = _SITE,
    ) -> Reply:
        request = Request(run_id="run-1", step=step, message=message, blob=blob)
        return self.federation.silos[site].answer(request)


@lru_cache(maxsize=1)
def _hospital() -> _Hospital:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _Hospital(Federation(folder, small_study()))


def _prepare() -> Make:
    hospital = _hospital()

    def make(random: Random) -> Attempt:
        step = random.choice((Step.ADVERTISE, *Step))
        message, blob = _spoilt(random, hospital, step)
        name = step.value if random.random() < 0.97 else random.choice(("", "x", "unmask", "é"))
        data = message + (blob or b"")
        return Attempt(data=data, act=lambda: _ask(hospital, name, message, blob))

    return make


def _spoilt(random: Random, hospital: _Hospital, step: Step) -> tuple[bytes, bytes | None]:
    message, blob = hospital.requests[step]
    others = [wire for wire, _ in hospital.requests.values()]
    draw = random.random()
    if step is Step.ADVERTISE and draw < 0.8:
        return _opening(random, hospital)
    if draw < 0.3:
        return spoil_bytes(random, message, others), blob
    if blob is not None and draw < 0.6:
        return message, spoil_bytes(random, blob, [blob])
    data = spoil_bytes(random, message[SIGNATURE_BYTES:], others)
    return hospital.key.sign(_KINDS[step].type, data) + data, blob


def _opening(random: Random, hospital: _Hospital) -> tuple[bytes, bytes]:
    """Returns a new attempt that is honest but for one field of context or proof, or its model."""
    if random.random() < 0.2:
        hospital.log.append("round-opened", round=random.randrange(3))
    context = hospital.context(random.randrange(2**31))
    model = hospital.model
    if random.random() < 0.3:
        return _signed(hospital, context), spoilt_model(random, model)
    if random.random() < 0.3:
        changed = replace(context, round=random.choice((0, 1, 2, 2**31)))
        return _signed(hospital, changed), model
    tree, proof = context.to_json(), to_json(hospital.proof(context))
    body, log = written(tree), written(proof)
    if random.random() < 0.5:
        body = spoil_tree(random, tree, [tree, proof])
    else:
        log = spoil_tree(random, proof, [proof, tree])
    envelope = {"v": 1, "type": "round-open", "ctx": "X", "from": COORDINATOR, "body": "Y"}
    data = written(envelope).replace(
        b'"Y"', b'{"context":' + body + b',"log":' + log + b',"own":null}'
    )
    data = data.replace(b'"X"', written(digest(body)))
    return hospital.key.sign("round-open", data) + data, model


def _signed(hospital: _Hospital, context: RoundContext) -> bytes:
    opening = RoundOpen(context=context, log=hospital.proof(context))
    return sign_message(opening, context=context.digest, sender=COORDINATOR, key=hospital.key)


def _ask(hospital: _Hospital, step: str, message: bytes, blob: bytes | None) -> None:
    with _listening() as kept:
        reply = hospital.ask(step, message, blob)
    if kept.error is not None:
        raise kept.error
    if reply.refusal == FederationError.__name__ or reply.refusal not in {None, *_CLASSES}:
        raise Broken(f"a refusal without a kind: {reply.refusal}")
    if reply.refusal is not None:
        raise MessageRefused(reply.refusal)
    if step == Step.ADVERTISE.value:  # it waits in another attempt now
        with _listening():
            hospital.begin()


HOSPITAL_TARGETS = (Target(name="hospital", prepare=_prepare, weight=1),)
