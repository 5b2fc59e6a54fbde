"""The transcript of a finished round, from which anybody can recompute its sum bit by bit.

A transcript holds every signed answer of the sites and names the masked
vectors, which lie beside it. Masked vectors are no secret from the coordinator,
and what they show once the shares are revealed is the sum, no more.

Rules:

1. Replaying a transcript is running the round again (``SecAggServer``): every
   signature, commitment and digest is checked as it was the first time. The
   coordinator's own signatures play no part: it is the one that is checked.
2. Recomputing takes the members' public keys, and no secret.

Source: ``docs/protocol.md``, "After the round".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from protocol.codec import MAX_SITES, base64_bytes, from_json, map_of, nested, to_json
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, OutOfOrder
from protocol.identity.roster import Roster, SigningKey
from protocol.secagg.context import RoundContext
from protocol.secagg.messages import (
    ENTRY_BYTES,
    Advertise,
    Consistency,
    Masked,
    Origin,
    Reveal,
    ShareHeader,
    open_message,
)
from protocol.secagg.server import SecAggServer, Step
from protocol.vectors.evaluation import OWN_CELLS

#: By site: what it answered in a step, and what travelled beside it.
Answers: TypeAlias = Mapping[str, tuple[bytes, bytes | None]]
#: A transcript of 256 sites stays below this.
MOST_BYTES = 1 << 25


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """The signed answers of one finished round, by step and site.

    ``entries`` are what travelled beside the headers. The masked vectors are
    named by the answers in ``masked``.
    """

    context: Annotated[RoundContext, nested(RoundContext)]
    adverts: Annotated[Mapping[str, bytes], map_of(base64_bytes(Advertise.max_bytes), MAX_SITES)]
    headers: Annotated[Mapping[str, bytes], map_of(base64_bytes(ShareHeader.max_bytes), MAX_SITES)]
    entries: Annotated[
        Mapping[str, bytes], map_of(base64_bytes(ENTRY_BYTES * MAX_SITES), MAX_SITES)
    ]
    masked: Annotated[Mapping[str, bytes], map_of(base64_bytes(Masked.max_bytes), MAX_SITES)]
    signatures: Annotated[
        Mapping[str, bytes], map_of(base64_bytes(Consistency.max_bytes), MAX_SITES)
    ]
    reveals: Annotated[Mapping[str, bytes], map_of(base64_bytes(Reveal.max_bytes), MAX_SITES)]

    @classmethod
    def of(cls, context: RoundContext, answers: Mapping[Step, Answers]) -> "Transcript":
        """Returns the transcript of the answers that counted."""
        said = {step: {site: pair[0] for site, pair in answers[step].items()} for step in Step}
        return cls(
            context=context,
            adverts=said[Step.ADVERTISE],
            headers=said[Step.SHARE],
            entries={site: pair[1] or b"" for site, pair in answers[Step.SHARE].items()},
            masked=said[Step.MASKED],
            signatures=said[Step.CONSISTENCY],
            reveals=said[Step.UNMASK],
        )

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that are kept and logged by digest; the inverse is ``parse_transcript``."""
        return canonical(to_json(self))

    @property
    def digest(self) -> str:
        """The transcript's name: SHA-256 of its canonical bytes."""
        return digest(self.canonical_bytes)


def parse_transcript(data: bytes) -> Transcript:
    """Returns the transcript held in canonical bytes; nothing in it is verified yet.

    Raises:
        MessageRefused: it is too large or malformed.
    """
    if len(data) > MOST_BYTES:
        raise MessageRefused(f"a transcript of {len(data)} bytes is too long")
    return from_json(Transcript, parse_canonical(data))


def vectors_of(transcript: Transcript, roster: Roster) -> Mapping[str, str]:
    """Returns the digest of every masked vector in the sum, by site, as its site signed it.

    Raises:
        MessageRefused: a message is not its site's.
    """
    named = {}
    for site, wire in transcript.masked.items():
        origin = Origin(sender=site, public=roster.key_of(site), context=transcript.context.digest)
        named[site] = open_message(wire, Masked, origin).blob
    return named


def replay(
    transcript: Transcript,
    roster: Roster,
    vector: Callable[[str], bytes],
    *,
    own_cells: int = OWN_CELLS,
    threads: int = 1,
) -> SecAggServer:
    """Returns the finished round that a transcript and the kept vectors give.

    Args:
        transcript: the answers of the sites.
        roster: the members' public keys.
        vector: returns the masked vector of this digest.
        own_cells: how many numbers each site gave beside its vector in an evaluation.
        threads: how many may make keystream.

    Raises:
        MessageRefused: an answer or a vector is not what its site signed.
        QuorumLost: the answers are too few.
        SumRefused: the sum is none that honest sites can give.
    """
    named = vectors_of(transcript, roster)
    for site, wire in transcript.headers.items():  # the silos did, and so does who recomputes
        origin = Origin(sender=site, public=roster.key_of(site), context=transcript.context.digest)
        open_message(wire, ShareHeader, origin)
    answers: Mapping[Step, Answers] = {
        Step.ADVERTISE: _alone(transcript.adverts),
        Step.SHARE: {
            site: (wire, transcript.entries.get(site)) for site, wire in transcript.headers.items()
        },
        Step.MASKED: {site: (wire, None) for site, wire in transcript.masked.items()},
        Step.CONSISTENCY: _alone(transcript.signatures),
        Step.UNMASK: _alone(transcript.reveals),
    }
    machine = SecAggServer(
        context=transcript.context,
        roster=roster,
        key=SigningKey.generate(),
        own_cells=own_cells,
        threads=threads,
    )
    for step in Step:
        for site, (wire, beside) in sorted(answers[step].items()):
            blob = vector(named[site]) if step is Step.MASKED else beside
            try:
                machine.receive(step, site, wire, blob)
            except OutOfOrder as error:
                raise MessageRefused(f"site {site} had no part in step {step.value}") from error
        machine.close(step)
    return machine


def _alone(messages: Mapping[str, bytes]) -> Answers:
    return {site: (wire, None) for site, wire in messages.items()}
