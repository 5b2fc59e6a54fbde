"""The participants that have joined a run, each with the first model that it built.

All hospitals build the first parameters from the study's seed. One
whose software builds others cannot take part; which is the right model the
coordinator cannot know, so that of most hospitals counts, until training has
begun from it. One dishonest hospital that joins first then keeps nobody out.
"""

import threading
from collections import Counter
from collections.abc import Mapping

from protocol.identity.machine_evidence import MachineEvidence
from protocol.transport.privacy_summary import SignedSummary, Summary


class RunParticipants:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signed_summaries: dict[str, SignedSummary] = {}
        self._summaries: dict[str, Summary] = {}
        self._models: dict[str, str] = {}
        self._evidence: dict[str, MachineEvidence] = {}
        self._unfit: dict[str, str] = {}
        self._chosen: str | None = None

    def remember(self, signed_summaries: Mapping[str, SignedSummary]) -> None:
        """Takes what hospitals had said before this process began; they join again."""
        with self._lock:
            self._signed_summaries |= signed_summaries

    def add(
        self,
        site: str,
        signed_summary: SignedSummary,
        summary: Summary,
        model: str,
        evidence: MachineEvidence | None = None,
    ) -> None:
        """Takes a hospital in, with the digest of the first model that it built.

        ``evidence`` about its machine is handed on to the others, and never judged here.
        """
        with self._lock:
            self._signed_summaries[site], self._summaries[site] = signed_summary, summary
            self._models[site] = model
            if evidence is not None:
                self._evidence[site] = evidence

    def refuse(self, site: str, why: str) -> bool:
        """Takes note that a hospital's signed summary was not taken.

        Returns:
            Whether that is new: a hospital is asked again and again.
        """
        with self._lock:
            before = self._unfit.get(site)
            self._unfit[site] = why
            return before != why

    def choose(self) -> str | None:
        """Returns the first model that most stand by, for good; None while nobody has joined."""
        with self._lock:
            self._chosen = self._reference()
            return self._chosen

    def _reference(self) -> str | None:
        if self._chosen is not None or not self._models:
            return self._chosen
        counts = Counter(self._models.values())
        return min(counts, key=lambda model: (-counts[model], model))

    @property
    def answered(self) -> frozenset[str]:
        """The sites that have said they join, whatever they stand by."""
        with self._lock:
            return frozenset(self._models)

    @property
    def joined(self) -> frozenset[str]:
        """The sites that take part: they stand by the same first model as most."""
        with self._lock:
            reference = self._reference()
            return frozenset(site for site, model in self._models.items() if model == reference)

    @property
    def signed_summaries(self) -> dict[str, SignedSummary]:
        """The signed summaries, by site."""
        with self._lock:
            return dict(self._signed_summaries)

    @property
    def evidence(self) -> dict[str, MachineEvidence]:
        """The evidence about the hospitals' machines, by site."""
        with self._lock:
            return dict(self._evidence)

    @property
    def unfit(self) -> frozenset[str]:
        """The sites that have promised something else than the study fixes."""
        with self._lock:
            return frozenset(self._unfit)

    @property
    def summaries(self) -> Mapping[str, Summary]:
        """The signed summaries, decoded; they grow as hospitals join."""
        return self._summaries
