"""Follows canaries when a run has ended that evaluated a given model.

A line whose canary or production is that model is looked at: once both were evaluated at the
canary's hospitals, a canary that is worse is ended, and of one that holds it is written down.
"""

import logging

from sqlalchemy.orm import Session

from compliance.facts.figures import TASK_FIGURES
from compliance.governance.models.stages import EventKind, StageEvent
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.governance.models.lines import line_of, lines_in
from coordinator.governance.models.register import ModelRegister
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.rounds.ending.canary_figures import canary_figures
from coordinator.rounds.ending.gate_facts import gate_facts
from protocol.errors import FederationError
from protocol.identity.roster import SigningKey
from protocol.study.study import Study

log = logging.getLogger("collegium.coordinator")


def _models(session: Session, *versions: str | None) -> set[str]:
    """Returns the digests of the models of versions."""
    return {signed_snapshot(session, one).snapshot.model for one in versions if one is not None}


def follow_canaries(
    store: Store, key: SigningKey, study: Study, model: str, clock: Clock = utc_now
) -> tuple[StageEvent, ...]:
    """Ends each canary that the newest evaluations show to be worse; returns what happened.

    A fault of the register holds up no run: it is logged, and the canary's gate stays as it is.

    Args:
        store: the consortium's database.
        key: signs the log.
        study: of the run that has ended.
        model: the digest of the model that it evaluated.
        clock: says what time it is.
    """
    if study.trains or not study.has_model:
        return ()
    register = ModelRegister(store, key, clock, gate_facts)
    kind = TASK_FIGURES[study.task.kind].headline
    happened = []
    try:
        with store.read() as session:
            lines = [line_of(session, name) for name in lines_in(session)]
            found = {
                line.name: canary_figures(session, line)
                for line in lines
                if model in _models(session, line.state.canary, line.state.production)
            }
        for name, figures in found.items():
            if figures is None:
                continue
            event = register.follow(
                name, figures, figure=kind.title, higher_is_better=kind.higher_is_better
            )
            if event is None:
                log.info("model %s: its canary is not compared yet", name)
                continue
            happened.append(event)
            is_ended = event.kind is EventKind.CANARY_ENDED
            log.log(
                logging.WARNING if is_ended else logging.INFO,
                "model %s: canary %s %s: %s",
                name, event.version[:12], "is ended" if is_ended else "goes on", event.reason,
            )  # fmt: skip
    except FederationError as error:
        log.error("the canaries of model %s were not compared: %s", model[:12], error)
    return tuple(happened)
