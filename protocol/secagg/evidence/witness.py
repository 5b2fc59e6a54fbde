"""The coordinator's collection of a round's signed answers, from which accusations are made.

It keeps the signed answers of a round while it lasts, a few thousand bytes a
site, and makes of them the strongest accusation that ``accusation.judge`` bears
out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from protocol.encoding import digest
from protocol.errors import MessageRefused
from protocol.secagg.context import RoundContext
from protocol.secagg.evidence.accusation import MAX_ANSWER, Accusation, Verdict, judge
from protocol.secagg.messages import (
    Advertise,
    Complaint,
    Consistency,
    Origin,
    Reveal,
    ShareHeader,
    peek_type,
    pieces,
    read_unverified,
)
from protocol.secagg.secret_sharing import OPENING_BYTES

_MAX_WHY = 300


@dataclass(frozen=True, kw_only=True)
class Witness:
    """The signed answers of one round, by site, and the accusations that came of them."""

    context: RoundContext
    publics: Mapping[str, bytes]
    adverts: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, dict[str, bytes]] = field(default_factory=dict)
    statements: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    accusations: list[Accusation] = field(default_factory=list)

    def accuse(self, site: str, wire: bytes, why: str) -> None:
        """Accuses a site of an answer, by whatever shows the fault best."""
        plain = Accusation(
            context=self.context, kind="answer", against=site, why=_told(why),
            messages={"answer": wire[:MAX_ANSWER]},
        )  # fmt: skip
        self.accusations.append(self._strongest([*self._of_answer(plain, wire), plain]))

    def complain(self, accuser: str, accused: str, wire: bytes) -> None:
        """Keeps a complaint of one site about another."""
        self.accusations.append(
            Accusation(
                context=self.context,
                kind="complaint",
                against=accused,
                other=accuser,
                why="its shares cannot be used",
                messages={Complaint.type: wire},
            )  # fmt: skip
        )

    def accuse_dealer(self, owner: str, reveals: Mapping[str, bytes], why: str) -> None:
        """Accuses an owner whose revealed shares do not give what it advertised."""
        holders = sorted(reveals)[: self.context.threshold]
        openings = {holder: self._opening(owner, holder, reveals[holder]) for holder in holders}
        secret = Accusation(
            context=self.context, kind="secret", against=owner, why=_told(why),
            messages={
                Advertise.type: self.adverts[owner], ShareHeader.type: self.headers[owner],
            },
            adverts=_digests(self.adverts), openings=openings,
            entries={holder: self.entries[owner][holder] for holder in holders},
        )  # fmt: skip
        plain = Accusation(
            context=self.context, kind="answer", against=owner, why=_told(why),
            messages={"answer": self.headers[owner]},
        )  # fmt: skip
        self.accusations.append(self._strongest([secret, plain]))

    def _of_answer(self, plain: Accusation, wire: bytes) -> Iterator[Accusation]:
        """Yields what an answer may prove, by its type."""
        site, claimed = plain.against, peek_type(wire)
        if claimed == Advertise.type:
            yield replace(plain, kind="keys", messages={Advertise.type: wire})
        if claimed in (Reveal.type, None) and site in self.statements:  # a long one has no type
            yield from self._of_reveal(plain, wire)

    def _of_reveal(self, plain: Accusation, wire: bytes) -> Iterator[Accusation]:
        site = plain.against
        reveal = replace(
            plain, kind="reveal", adverts=_digests(self.adverts), senders=_digests(self.headers),
            blobs=dict(self.blobs),
            messages={Reveal.type: wire, Consistency.type: self.statements[site]},
        )  # fmt: skip
        for owner in sorted(self.headers):
            messages = {**reveal.messages, ShareHeader.type: self.headers[owner]}
            entry = {site: self.entries[owner][site]}
            yield replace(reveal, other=owner, messages=messages, entries=entry)

    def _strongest(self, accusations: list[Accusation]) -> Accusation:
        """Returns the first accusation that its evidence proves; else the last."""
        for accusation in accusations:
            try:
                if judge(accusation, self.publics) is Verdict.PROVEN:
                    return accusation
            except MessageRefused:
                continue
        return accusations[-1]

    def _opening(self, owner: str, holder: str, wire: bytes) -> bytes:
        """Returns what a holder revealed of an owner."""
        origin = Origin(sender=holder, public=self.publics[holder], context=self.context.digest)
        reveal = read_unverified(wire, Reveal, origin)
        inside, lost = sorted(self.blobs), sorted(self.headers.keys() - self.blobs.keys())
        revealed, owners = (
            (reveal.self_shares, inside) if owner in inside else (reveal.pair_shares, lost)
        )
        return pieces(revealed, OPENING_BYTES, len(owners))[owners.index(owner)]


def _digests(wires: Mapping[str, bytes]) -> dict[str, str]:
    return {site: digest(wire) for site, wire in wires.items()}


def _told(why: str) -> str:
    """Returns a reason as an accusation can hold it: printable ASCII, not too long."""
    return why.encode("ascii", "replace").decode()[:_MAX_WHY] or "a wrong answer"
