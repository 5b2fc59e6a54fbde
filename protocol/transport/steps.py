"""The one form in which a hospital is asked and answers: bytes out, bytes back.

A refusal's reason stays in the hospital; only the class name crosses. Of a
refusal to join not even that: a study's author chooses its ranges and counts,
so that the class would be an exact answer to a question about the records.
Nothing per-site is sent in clear beside the masked vector.
"""

from dataclasses import dataclass

#: The one word that crosses when a hospital does not join a run, for whatever reason.
JOIN_REFUSED = "Refused"
#: The step in which a hospital is asked to cosign a head of the log, before a round is opened.
COSIGN = "cosign"
#: The step in which a hospital is asked to sign the snapshot of a run's final model.
SNAPSHOT = "snapshot"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to one site: a signed message, and the model where the step needs one."""

    run_id: str
    step: str
    message: bytes
    blob: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer of one site: a signed message and a masked blob, or its refusal's class name."""

    message: bytes = b""
    blob: bytes | None = None
    refusal: str | None = None


@dataclass
class Traffic:
    """The bytes that one hospital has sent and received: messages and what travels beside them.

    Counted alike at both ends: without the frames of the transport (HTTP, TLS, base64), and
    without words of refusal.
    """

    sent: int = 0
    received: int = 0

    def came(self, request: Request) -> None:
        """Counts what a hospital was asked."""
        self.received += len(request.message) + len(request.blob or b"")

    def went(self, reply: Reply) -> None:
        """Counts what it answered."""
        self.sent += len(reply.message) + len(reply.blob or b"")
