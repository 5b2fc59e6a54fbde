"""The subject of a report: facts about runs, the log's entries about them, and declarations."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from compliance.facts.dossier import Dossier, EntryFacts, SubjectFacts
from compliance.reports.basis import Declared, Evidenced, Missing, ReportClaim
from compliance.reports.declarations import Declarations

#: The name under which the software's own statements of its method are declared.
AUTHORS = "the authors of Collegium"


@dataclass(frozen=True, kw_only=True)
class ReportSubject:
    """Facts, and what the consortium declares beside them.

    ``digest`` is that of the file of declarations; empty where there is none.
    """

    facts: SubjectFacts
    declarations: Declarations | None = None
    digest: str = ""

    @property
    def dossiers(self) -> tuple[Dossier, ...]:
        """The runs, oldest first."""
        return self.facts.dossiers

    @property
    def single(self) -> Dossier | None:
        """The run that the report is about; None where it is about several."""
        return self.dossiers[0] if self.facts.scope == "run" else None

    @property
    def title(self) -> str:
        """The subject in words."""
        if self.single is not None:
            return f"{self.single.study_title}, run {self.single.run_id}"
        return f"{self.facts.scope} {self.facts.name}"

    @property
    def version(self) -> str:
        """The version of the software that made the newest run; empty where none was recorded."""
        return self.dossiers[-1].environment.get("collegium", "") if self.dossiers else ""

    @cached_property
    def dated(self) -> str:
        """The newest moment of the log about it: the day of the report, not of its making."""
        times = [entry.time for entry in self.facts.log.entries]
        return max(times, default=self.dossiers[-1].started_at if self.dossiers else "")

    @cached_property
    def _by_type(self) -> Mapping[tuple[str | None, str], list[int]]:
        found: dict[tuple[str | None, str], list[int]] = defaultdict(list)
        for entry in self.facts.log.entries:
            found[entry.run, entry.type].append(entry.index)
        return found

    def entries(self, run: str | None, *types: str) -> tuple[int, ...]:
        """Returns the numbers of a run's entries of these types, in order; of no run where None."""
        return tuple(sorted(i for kind in types for i in self._by_type.get((run, kind), ())))

    def all_entries(self, *types: str) -> tuple[int, ...]:
        """Returns the numbers of all entries of these types, of any run or of none, in order."""
        found = [i for (_, kind), at in self._by_type.items() if kind in types for i in at]
        return tuple(sorted(found))

    def with_payload(self, kind: str, payload: str) -> tuple[int, ...]:
        """Returns the numbers of the entries of a type that name this digest, in order."""
        entries = self.facts.log.entries
        return tuple(e.index for e in entries if (e.type, e.payload) == (kind, payload))

    def registered(self, dossier: Dossier) -> tuple[int, ...]:
        """Returns the entry that registered a run's study; empty where the log has none."""
        return tuple(
            entry.index
            for entry in self.facts.log.entries
            if entry.type == "study-registered" and entry.payload == dossier.study_digest
        )

    @property
    def last(self) -> tuple[int, ...]:
        """The newest entry about the subject; empty where there is none."""
        entries = self.facts.log.entries
        return (entries[-1].index,) if entries else ()

    def clock_steps(self) -> tuple[tuple[EntryFacts, EntryFacts, float], ...]:
        """Returns where the log's clock went back by more than a minute: entries, seconds."""
        found, entries = [], self.facts.log.entries
        for before, after in zip(entries, entries[1:], strict=False):
            back = _seconds(before.time) - _seconds(after.time)
            if back > 60:
                found.append((before, after, back))
        return tuple(found)

    def evidenced(
        self, topic: str, text: str, entries: tuple[int, ...], *, why: str, remedy: str
    ) -> ReportClaim:
        """Returns a statement that entries show; where there are none, one that it is missing."""
        if not entries:
            return ReportClaim(topic=topic, text=text, basis=Missing(why=why, remedy=remedy))
        return ReportClaim(
            topic=topic, text=text, basis=Evidenced(entries=tuple(sorted(set(entries))))
        )

    def declared(self, key: str, topic: str) -> ReportClaim:
        """Returns what the consortium declares of a part, or that it is missing."""
        part = None if self.declarations is None else self.declarations.part(key)
        if part is None:
            return ReportClaim(
                topic=topic,
                text="Not stated.",
                basis=Missing(
                    why="only a person can say this, and nobody has declared it",
                    remedy=f"write {key}: with by, on and text into consortium.yaml",
                ),
            )
        return ReportClaim(topic=topic, text=part.text, basis=Declared(by=part.by, on=part.on))

    def of_the_method(self, topic: str, text: str) -> ReportClaim:
        """Returns a statement of how the software works, declared by its authors for a version."""
        version = f"version {self.version}" if self.version else "this version"
        return ReportClaim(topic=topic, text=text, basis=Declared(by=AUTHORS, on=version))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
