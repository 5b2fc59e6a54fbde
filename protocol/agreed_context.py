"""The context of a round as both institutions derive it from the study.

The coordinator opens a round with this context; a silo computes it again from
its own copy of study and roster and from the model bytes it received, and
refuses any other. Only which round, attempt and draw it is, and the log's head,
come from the coordinator; ``log_proof`` says how a silo checks that head.
"""

from protocol.context import COUNTS, RoundContext
from protocol.evaluation_vector import EvaluationVector
from protocol.no_wrap import least_ring_bits, most_of_counts, most_of_updates
from protocol.noise_shares import NoiseShares
from protocol.privacy import DistributedPrivacy
from protocol.study import Study
from protocol.tensors import Tensors, layout_of, model_digest
from protocol.update_vector import UpdateVector


def round_context(
    study: Study,
    *,
    run_id: str,
    roster_digest: str,
    purpose: str,
    number: int,
    attempt: int,
    draw: int,
    log_size: int,
    log_root: str,
    model: Tensors,
) -> RoundContext:
    """Returns the one context in which this round may take place."""
    vector = UpdateVector.of(layout_of(model), study.training.strategy)
    evaluation = EvaluationVector(bins=study.evaluation.bins)
    training, aggregation = purpose == "training", study.aggregation
    sites, bound, frac_bits = len(study.site_names), aggregation.bound, aggregation.frac_bits
    if training and isinstance(study.privacy, DistributedPrivacy):
        bound, frac_bits = NoiseShares.of(study, study.privacy, vector.size).bound, 0
    most = (
        most_of_updates(sites=sites, bound=bound, frac_bits=frac_bits)
        if training
        else most_of_counts(sites=sites)
    )
    return RoundContext(
        study_digest=study.digest,
        run_id=run_id,
        purpose=purpose,
        round=number,
        attempt=attempt,
        draw=draw,
        log_size=log_size,
        log_root=log_root,
        roster_digest=roster_digest,
        cohort=study.site_names,
        threshold=study.threshold,
        colluders=aggregation.colluders,
        model_hash=model_digest(model),
        layout_hash=vector.digest if training else evaluation.digest,
        dim=vector.size if training else evaluation.size,
        ring_bits=least_ring_bits(most),
        frac_bits=frac_bits if training else 0,
        bound=f"{bound!r}" if training else COUNTS,
        weights_hash=study.weights_digest,
        dp_event_hash=study.privacy_digest(purpose),
    )
