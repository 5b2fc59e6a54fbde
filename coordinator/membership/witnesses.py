"""Submits heads of the log to witnesses outside the consortium: the client of ``add-checkpoint``.

Rules:

1. An answer counts only where a key of the policy has signed exactly the head.
2. A witness has ``SECONDS`` for all of its answers; one that failed is asked again
   after ``REST_SECONDS``, or at once where the policy's quorum is not met without it.
3. What an answer holds is read up to a limit; no redirect is followed.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2

from compliance.audit.log import LogHead
from protocol.errors import LinkLost, MessageRefused, QuorumLost
from protocol.log.cosignature import Cosignature, cosigned_lines
from protocol.log.signed_note import parse_lines, split_note
from protocol.log.witness import CONFLICT, WitnessRequest, parse_size
from protocol.log.witness_policy import WitnessPolicy

log = logging.getLogger("collegium.coordinator")

#: How long one witness may take for a head.
SECONDS = 5.0
#: How long a witness that failed is left alone.
REST_SECONDS = 60.0
_MAX_ANSWER = 1 << 16
_TRIES = 3
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    body: bytes


class PolicyWitnesses:
    """The witnesses of the coordinator's policy, where they have an address; thread-safe.

    Args:
        policy: names them.
        seconds: how long one may take.
    """

    def __init__(self, policy: WitnessPolicy, seconds: float = SECONDS) -> None:
        self.policy, self._seconds = policy, seconds
        self._sizes: dict[str, int] = {}
        self._rests: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def _addresses(self) -> list[str]:
        return list(dict.fromkeys(one.url for one in self.policy.witnesses if one.url))

    def cosign(
        self, head: LogHead, proof_from: Callable[[int], tuple[bytes, ...]]
    ) -> list[Cosignature]:
        """Returns the witnesses' cosignatures of a head; of one that does not answer, none."""
        now = time.monotonic()
        resting = [url for url in self._addresses if self._rests.get(url, 0.0) > now]
        found = self._asked([u for u in self._addresses if u not in resting], head, proof_from)
        if resting and not self.policy.is_met([one.key for one in found]):
            found += self._asked(resting, head, proof_from)
        return found

    def require_met(self, found: Collection[Cosignature]) -> None:
        """Checks that cosignatures suffice for the policy.

        Raises:
            QuorumLost: they do not.
        """
        signed = {one.key for one in found}
        if not self.policy.is_met(signed):
            missing = [one.name for one in self.policy.witnesses if one.key not in signed]
            raise QuorumLost(
                f"the log's head is not cosigned by {', '.join(missing)}, and the coordinator's "
                f"policy of witnesses asks for {self.policy.quorum}"
            )

    def _asked(
        self,
        urls: Iterable[str],
        head: LogHead,
        proof_from: Callable[[int], tuple[bytes, ...]],
    ) -> list[Cosignature]:
        listed = list(urls)
        if not listed:
            return []
        with ThreadPoolExecutor(min(_AT_ONCE, len(listed))) as pool:
            answers = pool.map(lambda url: self._one(url, head, proof_from), listed)
            return list({one.key: one for found in answers for one in found}.values())

    def _one(
        self, url: str, head: LogHead, proof_from: Callable[[int], tuple[bytes, ...]]
    ) -> list[Cosignature]:
        try:
            found = self._submitted(url, head, proof_from)
        except (LinkLost, MessageRefused) as error:
            log.warning("the witness at %s does not cosign: %s", url, error)
            with self._lock:
                self._rests[url] = time.monotonic() + REST_SECONDS
            return []
        with self._lock:
            self._sizes[url] = head.size
            self._rests.pop(url, None)
        return found

    def _submitted(
        self, url: str, head: LogHead, proof_from: Callable[[int], tuple[bytes, ...]]
    ) -> list[Cosignature]:
        old, end = min(self._sizes.get(url, 0), head.size), time.monotonic() + self._seconds
        for _ in range(_TRIES):
            request = WitnessRequest(old=old, proof=proof_from(old), note=head.note)
            answer = _post(url, request.to_bytes, end - time.monotonic())
            if answer.status == 200:
                return self._verified(url, head, answer.body)
            if answer.status != CONFLICT:
                raise MessageRefused(f"it answers {answer.status}")
            held = parse_size(answer.body.decode("ascii", "replace").removesuffix("\n"))
            if held > head.size or held == old:
                raise MessageRefused(
                    f"it has cosigned another log of {held} entries"
                    if held == old
                    else f"it has cosigned {held} entries already"
                )
            old = held
        raise MessageRefused("it says another size each time")

    def _verified(self, url: str, head: LogHead, body: bytes) -> list[Cosignature]:
        keys = [one.key for one in self.policy.witnesses if one.url == url]
        text, _ = split_note(head.note)
        found = cosigned_lines(text, parse_lines(body), keys)
        if not found:
            raise MessageRefused("none of its lines is by a key of the policy")
        return found


def _post(url: str, body: bytes, seconds: float) -> _Answer:
    """Returns what a witness answers, within so many seconds."""
    if seconds <= 0:
        raise LinkLost("it takes too long")
    end = time.monotonic() + seconds
    address = f"{url.rstrip('/')}/add-checkpoint"
    try:
        with (
            httpx2.Client(timeout=httpx2.Timeout(seconds), follow_redirects=False) as http,
            http.stream("POST", address, content=body) as reply,
        ):
            said = bytearray()
            for chunk in reply.iter_bytes():
                said += chunk
                if len(said) > _MAX_ANSWER:
                    raise MessageRefused("its answer is too long")
                if time.monotonic() > end:
                    raise LinkLost("it takes too long")
            return _Answer(status=reply.status_code, body=bytes(said))
    except (httpx2.TransportError, httpx2.StreamError, httpx2.InvalidURL) as error:
        raise LinkLost(f"it cannot be reached ({type(error).__name__})") from error
