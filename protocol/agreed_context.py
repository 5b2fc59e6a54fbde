"""The context of a round as both institutions derive it from the study.

The coordinator opens a round with this context; a silo computes it again from
its own copy of study and roster and from the model bytes it received, and
refuses any other. Only which round it is, and the log's root, come from the
coordinator.
"""

from protocol.context import RoundContext
from protocol.encoding import digest_json
from protocol.evaluation_vector import EvaluationVector
from protocol.study import Study
from protocol.tensors import Tensors, layout_of, model_digest

RING_BITS = 32


def round_context(
    study: Study,
    *,
    run_id: str,
    roster_digest: str,
    purpose: str,
    number: int,
    attempt: int,
    log_root: str,
    model: Tensors,
) -> RoundContext:
    """Returns the one context in which this round may take place."""
    layout = layout_of(model)
    evaluation = EvaluationVector(sites=study.site_names, bins=study.evaluation.bins)
    training = purpose == "training"
    return RoundContext(
        study_digest=study.digest,
        run_id=run_id,
        purpose=purpose,
        round=number,
        attempt=attempt,
        log_root=log_root,
        roster_digest=roster_digest,
        cohort=study.site_names,
        threshold=study.threshold,
        colluders=study.aggregation.colluders,
        model_hash=model_digest(model),
        layout_hash=layout.digest
        if training
        else digest_json({"sites": list(evaluation.sites), "bins": evaluation.bins}),
        dim=layout.size if training else evaluation.size,
        ring_bits=RING_BITS,
        frac_bits=study.aggregation.frac_bits if training else 0,
        bound=f"{study.aggregation.bound!r}" if training else "counts",
        weights_hash=study.weights_digest,
        dp_event_hash=study.privacy_digest(purpose),
    )
