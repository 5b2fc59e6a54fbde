"""The record of the sites' conduct in a round's attempt, beside who is in the sum."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from coordinator.rounds.attempts.attempt_times import AttemptTimes
from protocol.secagg.evidence.accusation import PROVABLE, Accusation, Verdict
from protocol.secagg.server import SecAggServer
from protocol.transport.steps import Traffic


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """The conduct of the sites: wrong answers, accusations, and what earlier attempts have shown.

    Of the ``culprits`` some are ``proven`` by what they signed
    (``protocol.secagg.evidence.accusation``).
    ``suspects`` are sites that sums of noise cannot tell apart; nobody of them
    is accused. ``left_out`` says who had no part, and why. ``revealing`` are
    the sites of a sum that failed after they were asked to reveal it. ``clip`` is the adaptive
    clip that the model brought to them; None where the clip is fixed. ``traffic`` is how many bytes
    each site was sent and has sent, ``steps`` how many seconds each step took, and ``updates`` how
    many passed from the opening until a site's update was here.
    Of a round of groups under a robust rule ``norm`` is the L2 norm of what the rule gave,
    ``direction`` its cosine with that of the round before, and ``distance`` how far from it the
    mean of this sum lay.
    """

    culprits: Mapping[str, str] = field(default_factory=dict)
    proven: tuple[str, ...] = ()
    complaints: Mapping[str, str] = field(default_factory=dict)
    suspects: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    revealing: tuple[str, ...] = ()
    clip: float | None = None
    norm: float | None = None
    direction: float | None = None
    distance: float | None = None
    traffic: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)
    updates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def shown_by(cls, accusations: Sequence[Accusation]) -> "Conduct":
        """Returns what accusations come to."""
        own = [a for a in accusations if a.kind != "complaint"]
        return cls(
            culprits={a.against: a.why for a in own},
            proven=tuple(sorted(a.against for a in own if a.kind in PROVABLE)),
            complaints={a.other or "": a.against for a in accusations if a.kind == "complaint"},
        )

    @classmethod
    def of(
        cls,
        sum_round: SecAggServer,
        *,
        left_out: Mapping[str, str],
        suspects: Collection[str],
        failed: bool,
        clip: float | None = None,
        traffic: Mapping[str, Traffic] | None = None,
        times: AttemptTimes | None = None,
    ) -> "Conduct":
        """Returns what an attempt that has ended shows."""
        return replace(
            cls.shown_by(sum_round.accusations),
            suspects=tuple(sorted(suspects)),
            left_out=left_out,
            revealing=sum_round.survivors if failed and sum_round.asks_to_reveal else (),
            clip=clip,
            traffic={
                site: (crossed.received, crossed.sent)
                for site, crossed in (traffic or {}).items()
                if crossed != Traffic()
            },
            steps={} if times is None else dict(times.steps),
            updates={
                site: seconds
                for site, seconds in (times.updates if times else {}).items()
                if site in sum_round.context.participants
            },
        )

    @property
    def shown(self) -> "Conduct":
        """The part of the record that evidence shows; the inverse is ``shown_by``."""
        return Conduct(culprits=self.culprits, proven=self.proven, complaints=self.complaints)

    @property
    def is_logged(self) -> bool:
        """Whether more is shown than what crossed, and when: then it has an entry of the log."""
        return replace(self, traffic={}, steps={}, updates={}) != Conduct()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The conduct in words, for people; a suspect is not accused."""
        said = [
            f"{site} answered wrongly: {why} "
            f"({Verdict.PROVEN if site in self.proven else Verdict.CLAIMED})"
            for site, why in self.culprits.items()
        ]
        said += [
            f"{accuser} could not use the shares of {accused}, it says: one of the two is at fault"
            for accuser, accused in self.complaints.items()
        ]
        if self.suspects:
            said.append(
                "a sum was noise, so a mask was wrong; the sums do not show which of these: "
                + ", ".join(self.suspects)
            )
        said += [f"left out: {site} ({why})" for site, why in self.left_out.items()]
        if self.revealing:
            said.append(f"failed after it was to be revealed among {', '.join(self.revealing)}")
        return tuple(said)

    @property
    def text(self) -> str:
        """The record as it is stored and logged by digest: only what is not empty."""
        said = {n: value for n, value in asdict(self).items() if value or value == 0.0}
        return json.dumps(said, sort_keys=True)


def conduct_from(text: str) -> Conduct:
    """Returns the conduct that a record holds; the inverse of ``Conduct.text``.

    Raises:
        ValueError, TypeError: it has another form.
    """
    said = json.loads(text)
    for name in ("proven", "suspects", "revealing"):
        said[name] = tuple(said.get(name, ()))
    said["traffic"] = {site: tuple(each) for site, each in said.get("traffic", {}).items()}
    return Conduct(**said)
