"""Records about a preregistered run: when it was registered, what ran before, what people declared.

The log's numbers order them; times are the coordinator's.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

#: The state of a run that has not ended.
RUNNING = "running"


class Relation(StrEnum):
    """The relation of an earlier run's study to a preregistered one, closest first."""

    SAME_STUDY = "the same study"
    SAME_PREREGISTRATION = "another study with the same preregistration"
    SAME_NAME = "another study of the same name"
    SAME_QUESTION = "another study of the same question"
    SAME_TARGET = "a study of the same label and hospitals"


@dataclass(frozen=True, kw_only=True)
class LoggedMoment:
    """An entry of the log: its number, and its time."""

    index: int
    time: str


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """A run that began before this one, or after it, of the same study or of a related one.

    Attributes:
        run_id, started_at: of the run.
        state: as the log says it ended; running where it has not.
        ended: the entry that says so; None where there is none.
        study_name, study_digest: of its study.
        relation: of that study to this run's.
        released: the entry of its first released figures; None where it released none.
        same_patients: whether its figures were of test patients that this run tests again.
        began: the entry of its begin; None where it is not known.
    """

    run_id: str
    state: str
    started_at: str
    study_name: str
    study_digest: str
    relation: Relation
    released: LoggedMoment | None
    same_patients: bool
    ended: LoggedMoment | None = None
    began: LoggedMoment | None = None

    def until(self, size: int) -> "EarlierRun":
        """Returns the run as the first ``size`` entries of the log have it."""
        known = self
        if self.released is not None and self.released.index >= size:
            known = replace(known, released=None)
        if self.ended is not None and self.ended.index >= size:
            known = replace(known, ended=None, state=RUNNING)
        return known


@dataclass(frozen=True, kw_only=True)
class DeclaredDeviation:
    """A deviation that a person declared: what was done otherwise, and why.

    ``entry`` is the first entry of the log that holds the act's digest.
    """

    at: str
    person: str
    role: str | None
    text: str
    act: str
    entry: LoggedMoment


@dataclass(frozen=True, kw_only=True)
class RegistrationFacts:
    """The registration of a preregistered run's study, earlier runs, and declared deviations.

    Attributes:
        registered: the entry that registered the study; None where the log has none.
        earlier: runs that began before this one, oldest first.
        declared: deviations, in the order in which they were declared.
        later: runs that began after this one, oldest first: whoever runs ten studies may report the
            first of them.
    """

    registered: LoggedMoment | None
    earlier: tuple[EarlierRun, ...] = ()
    declared: tuple[DeclaredDeviation, ...] = ()
    later: tuple[EarlierRun, ...] = ()

    def until(self, size: int) -> "RegistrationFacts":
        """Returns the same as the first ``size`` entries of the log have it."""
        return replace(
            self,
            earlier=tuple(one.until(size) for one in self.earlier),
            declared=tuple(one for one in self.declared if one.entry.index < size),
            later=tuple(
                one.until(size)
                for one in self.later
                if one.began is not None and one.began.index < size
            ),
        )
