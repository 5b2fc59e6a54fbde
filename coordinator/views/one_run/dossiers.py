"""Everything about one run, as reports and pages show it."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from compliance.audit.log import LoggedEntry, LogHead
from compliance.facts.dossier import (
    Dossier,
    EntryFacts,
    EvaluationFacts,
    LogFacts,
    RoundFacts,
    RunManifest,
    SiteFacts,
    SnapshotFacts,
    parse_manifest,
)
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.figures import TASK_FIGURES
from compliance.facts.groups import GroupFacts
from coordinator.database.store import ManifestRow, RoundRow, RunRow, head_after, logged_entries
from coordinator.governance.models.snapshots import signed_snapshot_of
from coordinator.rounds.attempts.conduct import Conduct, conduct_from
from coordinator.rounds.evaluation.released import (
    calibration_from,
    columns_from,
    figures_from,
    groups_from,
    outcomes_from,
    points_from,
    recalibration_from,
    risks_from,
)
from coordinator.rounds.run_course import evaluations_of
from coordinator.views.one_run.preregistered import registration_of
from coordinator.views.one_run.rows import released_figures, rounds_of, study_of, summaries_of
from coordinator.views.one_run.simulated import exact_figures, sweep_share, unprotected_runs
from protocol.study.strategies.registry import strategy_of
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary
from protocol.vectors.adaptive_clip import felt_multiplier


def dossier_of(
    session: Session, row: RunRow, state: str, drift: DriftCalendar | None = None
) -> Dossier:
    """Returns a run's dossier.

    Args:
        session: the consortium's database.
        row: the run.
        state: as it is shown.
        drift: the calendar of a run of a monitoring study, as it stood with that run.
    """
    study = study_of(session, row)
    released = released_figures(session, row.id, study)
    exact = exact_figures(row)
    return Dossier(
        run_id=row.id,
        state=state,
        failure=row.failure,
        simulation=row.simulation,
        test_noise=row.test_noise,
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=_seconds(row.started_at, row.ended_at),
        seed=row.seed,
        sweep=row.sweep,
        sweep_share=sweep_share(session, row),
        study_name=study.name,
        study_title=study.title,
        study_purpose=study.purpose,
        study_digest=row.study_digest,
        study=study.model_dump(mode="json"),
        threshold=min(one.threshold for one in (study.whole_sum, *study.partial_sums)),
        colluders=study.aggregation.colluders,
        rounds_planned=study.training.rounds,
        rounds=_rounds(session, row.id, study),
        sites=_sites(row, study, exact, released),
        model_digest=row.model_digest,
        snapshot=f"snapshots/{row.model_digest}.safetensors" if row.model_digest else None,
        task=study.task.kind,
        released=figures_from(released["figures"]) if released else {},
        risks=risks_from(released["risks"]) if released else None,
        operating_points=points_from(released) if released else (),
        groups=_groups(study, exact, released) if released else (),
        columns=columns_from(released) if released else (),
        calibration=calibration_from(released) if released else (),
        recalibration=recalibration_from(released) if released else None,
        outcomes=outcomes_from(released) if released else (),
        drift=drift,
        exact_columns=tuple(exact.get("columns", ())) if released else (),
        exact=_exact(study, exact),
        has_own_models=strategy_of(study.training).personal is not None,
        by_global=_exact(study, exact.get("global_model", {})),
        audit=_audit(session, row.id),
        environment=json.loads(row.environment_json) | _engines(row),
        unprotected_runs=unprotected_runs(session, row, study),
        evaluations=_evaluations(session, row.id, study),
        manifest=stored_manifest(session, row.id),
        signed=_signed(session, row.id),
        registration=registration_of(session, row, study),
    )


def _signed(session: Session, run_id: str) -> SnapshotFacts | None:
    """Returns who signed the snapshot of a run's model; None of a run without one."""
    found = signed_snapshot_of(session, run_id)
    if found is None:
        return None
    return SnapshotFacts(
        digest=found.snapshot.digest,
        signed_by=tuple(sorted(found.signatures)),
        hospitals=len(found.snapshot.sites),
        quorum=found.snapshot.quorum,
        licence=found.snapshot.licence,
        permitted_use=found.snapshot.permitted_use,
    )


def stored_manifest(session: Session, run_id: str) -> RunManifest | None:
    """Returns the manifest that is kept of a run; None of one that an earlier version made.

    Raises:
        StoreBroken: it is damaged.
    """
    row = session.get(ManifestRow, run_id)
    return None if row is None else parse_manifest(row.document)


def _rounds(session: Session, run_id: str, study: Study) -> tuple[RoundFacts, ...]:
    return tuple(_round(row, study) for row in rounds_of(session, run_id))


def _round(row: RoundRow, study: Study) -> RoundFacts:
    sums, conduct = len(study.sums(row.round_kind, row.number)), conduct_from(row.conduct_json)
    own, place = divmod(row.attempt, sums)
    interim = row.round_kind == "evaluation" and row.number > study.training.rounds
    return RoundFacts(
        number=study.evaluations.rounds_before(row.round_kind, row.number) + (not interim),
        attempt=own,
        group=place + 1 if sums > 1 else None,
        round_kind=row.round_kind,
        state=row.state,
        context=row.context,
        survivors=tuple(json.loads(row.survivors_json)),
        dropped=tuple(json.loads(row.dropped_json)),
        remarks=conduct.sentences,
        model_digest=row.model_digest,
        opened_at=row.opened_at,
        seconds=_seconds(row.opened_at, row.closed_at),
        clip=conduct.clip,
        bytes_up=_crossed(conduct, 1),
        bytes_down=_crossed(conduct, 0),
        norm=conduct.norm,
        direction=conduct.direction,
        distance=conduct.distance,
        is_interim=interim,
    )


def _evaluations(session: Session, run_id: str, study: Study) -> tuple[EvaluationFacts, ...]:
    if not study.trains:
        return ()
    return tuple(
        EvaluationFacts(
            rounds=one.rounds,
            model_digest=one.model,
            released=one.headline,
            survivors=one.survivors,
            goes_on=one.goes_on,
        )
        for one in evaluations_of(session, run_id, study)
    )


def _crossed(conduct: Conduct, way: int) -> int | None:
    """Returns the bytes that crossed at all sites in a round; None where nobody counted."""
    return sum(each[way] for each in conduct.traffic.values()) if conduct.traffic else None


def _sites(
    row: RunRow, study: Study, exact: Mapping[str, Any], released: Mapping[str, Any] | None
) -> tuple[SiteFacts, ...]:
    summaries = summaries_of(row)
    return tuple(
        _site(site, summaries[site], study, exact, released)
        for site in study.site_names
        if site in summaries
    )


def _engines(row: RunRow) -> dict[str, str]:
    """Returns what computed the gradients, as the hospitals signed it."""
    found = sorted({summary.engine for summary in summaries_of(row).values() if summary.engine})
    return {"gradient engine": ", ".join(found)} if found else {}


def _site(
    site: str,
    summary: Summary,
    study: Study,
    exact: Mapping[str, Any],
    released: Mapping[str, Any] | None,
) -> SiteFacts:
    figures = (released or {}).get("sites", {}).get(site, {})
    own = exact.get("sites", {}).get(site, {})
    return SiteFacts(
        site=site,
        declared_patients=study.site(site).patients,
        privacy=summary,
        released=figures_from(figures),
        exact=_exact(study, own),
        train_patients=own.get("train_patients"),
        test_patients=own.get("test_patients"),
        felt_multiplier=_felt(study, summary),
        by_global=_exact(study, exact.get("global_model", {}).get("sites", {}).get(site, {})),
    )


def _felt(study: Study, summary: Summary) -> float | None:
    """Returns the noise multiplier that training feels; None where the clip is fixed."""
    signed = summary.noise_multiplier
    if study.privacy.adaptive_clip is None or signed is None:
        return None
    return felt_multiplier(signed, study.count_deviation)


def _groups(
    study: Study, exact: Mapping[str, Any], released: Mapping[str, Any]
) -> tuple[GroupFacts, ...]:
    own = {(one["grouping"], one["group"]): one for one in exact.get("groups", ())}
    return tuple(
        GroupFacts(
            grouping=group.grouping,
            group=group.group,
            released=group.figures,
            exact=_exact(study, found := own.get((group.grouping, group.group), {})),
            test_patients=found.get("patients"),
        )
        for group in groups_from(released)
    )


def _exact(study: Study, found: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the exact figures of the study's task, where a simulation has them."""
    kinds = TASK_FIGURES[study.task.kind].with_asked(found).pooled
    return {kind.name: found[kind.name] for kind in kinds if kind.name in found}


def _audit(session: Session, run_id: str) -> LogFacts:
    """Returns a head that stays the same as the log grows, so that a document can be made again."""
    entries = logged_entries(session, run_id)
    return log_facts(head_after(session, entries[-1].index if entries else -1), entries)


def log_facts(head: LogHead | None, entries: Iterable[LoggedEntry]) -> LogFacts:
    """Returns entries of the log with the signed head that covers them."""
    return LogFacts(
        root=head.root.hex() if head else "",
        size=head.size if head else 0,
        checkpoint=head.note.decode() if head else "",
        entries=tuple(entry_facts(entry) for entry in entries),
    )


def entry_facts(entry: LoggedEntry) -> EntryFacts:
    """Returns an entry of the log as reports and pages show it."""
    content = entry.content
    return EntryFacts(
        index=entry.index,
        time=content.time,
        type=content.type,
        payload=content.payload,
        leaf_hash=entry.leaf_hash.hex(),
        run=content.run,
        round=content.round,
    )


def _seconds(begin: str, end: str | None) -> float | None:
    if end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
