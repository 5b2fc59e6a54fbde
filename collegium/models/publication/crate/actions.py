"""Actions of a run: the training as a whole, each round, each evaluation.

The training as one ``CreateAction`` is what the Federated Learning profile asks for; each round is
a ``CreateAction`` of Process Run Crate beside it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from collegium.models.publication.crate import files
from collegium.models.publication.crate.agents import CONSORTIUM, hospital_name
from collegium.models.publication.crate.entity import (
    Entity,
    entity,
    refer,
    refer_to,
    written_time,
)
from collegium.models.publication.crate.evidence import CrateEvidence
from collegium.models.publication.crate.records import promises_of, records_of
from compliance.facts.dossier import Dossier, RoundFacts
from compliance.facts.figures import figure_kind
from compliance.facts.named_figures import NamedFigure, Whose
from protocol.identity.timestamps import read_time

_RUN = "#run"
_DONE, _FAILED = "http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus"
_RESULTS = {files.FIGURES, files.TABLE, files.CARD, files.PREREGISTRATION}
_INPUTS = {files.STUDY, files.MANIFEST_FILE, files.ROSTER, files.COHORT}


def actions(
    found: CrateEvidence, instrument: str, model: str | None, documents: list[str]
) -> list[Entity]:
    """Returns the run's actions, the one of the whole run first.

    Args:
        found: the evidence.
        instrument: the entity of the software.
        model: the entity of the model; None of a run without one.
        documents: the files of the crate.
    """
    return [_whole(found, instrument, model, documents), *_rounds(found, instrument)]


def _whole(
    found: CrateEvidence, instrument: str, model: str | None, documents: list[str]
) -> Entity:
    dossier = found.dossier
    done = dossier.state == "finished"
    results = [name for name in documents if name in _RESULTS]
    inputs = [name for name in documents if name in _INPUTS]
    return entity(
        _RUN, "CreateAction",
        name=f"Run {dossier.run_id} of the study {dossier.study_name}",
        description=f"{_what(dossier)} {dossier.claim}",
        instrument=refer(instrument),
        agent=refer(CONSORTIUM),
        participant=refer(*(hospital_name(site.site) for site in dossier.sites)),
        object=[
            *refer_to(records_of(found)),
            *refer(*inputs),
            *refer_to(promises_of(found)),
        ],
        result=[
            *refer(*([] if model is None else [model])),
            *refer(*results),
            *refer_to(metrics(dossier)),
        ],
        startTime=written_time(dossier.started_at),
        endTime=written_time(dossier.ended_at or dossier.started_at),
        actionStatus=_DONE if done else _FAILED,
        error=None if done else dossier.failure or f"the run was {dossier.state}",
    )  # fmt: skip


def _what(dossier: Dossier) -> str:
    how = "Simulated hospitals" if dossier.simulation else "Hospitals"
    what = "trained a model together" if dossier.trains else "counted together"
    return f"{how} {what}, by secure aggregation, in {len(dossier.rounds)} rounds."


def metrics(dossier: Dossier) -> list[Entity]:
    """Returns the released figures over all test patients, as property values with intervals."""
    return [
        entity(
            f"#figure-{one.figure}", "PropertyValue",
            name=figure_kind(one.figure).title,
            propertyID=refer(f"#term-{one.figure}"),
            value=one.found.value,
            minValue=one.found.low,
            maxValue=one.found.high,
            description="released, with its 95 % interval",
        )
        for one in _pooled(dossier)
    ]  # fmt: skip


def metric_terms(dossier: Dossier) -> list[Entity]:
    """Returns the quantities that the property values are of."""
    return [
        entity(
            f"#term-{one.figure}", "DefinedTerm",
            name=figure_kind(one.figure).title,
            termCode=one.figure,
        )
        for one in _pooled(dossier)
    ]  # fmt: skip


def _pooled(dossier: Dossier) -> list[NamedFigure]:
    return [
        one
        for one in dossier.named_figures
        if one.whose is Whose.ALL and one.at is None and one.found.value is not None
    ]


def _rounds(found: CrateEvidence, instrument: str) -> Iterator[Entity]:
    for place, one in enumerate(found.dossier.rounds, start=1):
        done = one.state == "finished"
        yield entity(
            f"#action-{place}", "CreateAction",
            name=_name(one),
            description=f"One secure sum of {len(one.survivors)} hospitals, context "
            f"{one.context[:16]}.",
            instrument=refer(instrument),
            agent=refer(CONSORTIUM),
            participant=refer(*(hospital_name(site) for site in one.survivors)),
            object=refer(files.STUDY),
            result=refer(f"#result-{place}"),
            startTime=written_time(one.opened_at),
            endTime=_closed(one),
            actionStatus=_DONE if done else _FAILED,
        )  # fmt: skip


def round_results(found: CrateEvidence) -> list[Entity]:
    """Returns what each round gave: the digest of the model, or of the context of its sum."""
    return [
        entity(
            f"#result-{place}", "PropertyValue",
            name=f"result of {_name(one)}",
            propertyID=refer("#tensor-digest" if one.model_digest else "#context-digest"),
            value=one.model_digest or one.context,
        )
        for place, one in enumerate(found.dossier.rounds, start=1)
    ]  # fmt: skip


def digest_terms() -> list[Entity]:
    """Returns the terms that the results of rounds are of."""
    return [
        entity(
            "#tensor-digest", "DefinedTerm",
            name="tensor digest",
            description="SHA-256 of a model's parameters alone, by name; its name in the log.",
        ),
        entity(
            "#context-digest", "DefinedTerm",
            name="context digest",
            description="SHA-256 of what a secure sum was of: run, round, roster, model, "
            "participants.",
        ),
    ]  # fmt: skip


def _name(one: RoundFacts) -> str:
    kind = (
        f"{one.round_kind} round {one.number}" if one.round_kind == "training" else one.round_kind
    )
    if one.is_interim:
        kind = f"evaluation after training round {one.number}"
    group = f", group {one.group}" if one.group is not None else ""
    again = f", attempt {one.attempt + 1}" if one.attempt else ""
    return f"{kind}{group}{again}"


def _closed(one: RoundFacts) -> str:
    opened: datetime = read_time(one.opened_at)
    closed = opened + timedelta(seconds=one.seconds or 0.0)
    return closed.isoformat(timespec="milliseconds")
