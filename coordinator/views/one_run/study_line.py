"""Facts that lists of runs tell of their studies: read once, however many runs a study has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.facts.figures import TASK_FIGURES, FigureKind
from coordinator.database.store import StudyRow, read_study
from protocol.encoding import digest_json
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import KeyedHashSplit, Study
from protocol.study.variants import question, rule_of_tests, settings, targets

#: So many studies are remembered in a process; each takes a few hundred bytes.
_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True)
class StudyLine:
    """One study in a line.

    Attributes:
        settings: the digest of all that it says but names, seeds and epsilons.
        epsilon: what is promised to one patient; None where nothing is.
        split: the seed of its split; 0 where the study says where every record is.
        figure: the headline of its task.
        rounds: of training, as planned.
        takes_back: whether a run of it may end with an earlier model than its last.
        monitors: whether its runs are releases of a calendar.
        has_model: whether its runs have a model.
        targets: names of what it learns or counts.
        tested: the digest of the rule that says who is tested.
        preregistration: the digest of that section; empty where it has none.
    """

    digest: str
    name: str
    title: str
    question: str
    settings: str
    mode: str
    epsilon: float | None
    split: int
    figure: FigureKind
    rounds: int
    sites: tuple[str, ...]
    takes_back: bool
    monitors: bool
    has_model: bool
    strategy: str
    targets: frozenset[str]
    tested: str
    preregistration: str


def line_of(study: Study) -> StudyLine:
    """Returns a study in a line."""
    privacy = study.privacy
    return StudyLine(
        digest=study.digest,
        name=study.name,
        title=study.title,
        question=question(study),
        settings=settings(study),
        mode=privacy.mode,
        epsilon=privacy.epsilon if isinstance(privacy, PatientPrivacy) else None,
        split=split_of(study),
        figure=TASK_FIGURES[study.task.kind].headline,
        rounds=study.training.rounds,
        sites=study.site_names,
        takes_back=study.evaluation.roll_back is not None,
        monitors=study.calendar is not None,
        has_model=study.has_model,
        strategy=study.training.strategy,
        targets=targets(study),
        tested=rule_of_tests(study),
        preregistration=""
        if study.preregistration is None
        else digest_json(study.preregistration.model_dump(mode="json")),
    )


def study_lines(session: Session, digests: Iterable[str] | None = None) -> Mapping[str, StudyLine]:
    """Returns studies in lines by their digest; all that are registered when None is named.

    Raises:
        StoreBroken: what is stored of one is no study.
    """
    query = select(StudyRow.digest, StudyRow.document)
    if digests is not None:
        query = query.where(StudyRow.digest.in_(set(digests)))
    return {name: _line(name, document) for name, document in session.execute(query)}


@lru_cache(maxsize=_REMEMBERED)
def _line(name: str, document: bytes) -> StudyLine:
    return line_of(read_study(name, document))


def split_of(study: Study) -> int:
    """Returns the seed of a simulated split; 0 where the study says where every record is."""
    return study.seeds.split if isinstance(study.split, KeyedHashSplit) else 0
