"""What every vector file holds: the same bytes every time."""

from typing import Any

from protocol.codec import to_json
from tests.make_vectors.log import log_sheet
from tests.make_vectors.messages import entries_sheet, messages_sheet
from tests.make_vectors.primitives import (
    context_sheet,
    encoding_sheet,
    identity_sheet,
    keystream_sheet,
    masking_sheet,
    numbers_sheet,
    shares_sheet,
    tensors_sheet,
)
from tests.make_vectors.refusals import coordinator_sheet, silo_sheet
from tests.make_vectors.rounds import MODEL, Bench, counting_round, round_json, training_round
from tests.make_vectors.sheet import Sheet
from tests.make_vectors.snapshots import serving_sheet, snapshot_sheet

TRAINING, COUNTING = "round-training.json", "round-evaluation.json"


def contents() -> dict[str, Any]:
    """Returns every vector file's content, by name, from nothing but a seed."""
    training, counting = training_round(), counting_round()
    frozen = round_json("A training round: four sites, t = 3, oslo lost after sharing.", training)
    counted = round_json("An evaluation: three sites, t = 3, counts, 64-bit ring.", counting)
    training_fields, counting_fields = to_json(training.context), to_json(counting.context)
    bench = Bench(training)
    sheets: dict[str, Sheet] = {
        "encoding.json": encoding_sheet(),
        "keystream.json": keystream_sheet(),
        "context.json": context_sheet(training_fields, counting_fields),
        "masking.json": masking_sheet(training_fields),
        "shares.json": shares_sheet(training_fields),
        "numbers.json": numbers_sheet(training_fields, counting_fields),
        "identity.json": identity_sheet(),
        "tensors.json": tensors_sheet(MODEL),
        "log.json": log_sheet(training),
        "snapshot.json": snapshot_sheet(),
        "serving.json": serving_sheet(),
        "messages.json": messages_sheet(training),
        "entries.json": entries_sheet(training),
        "silo.json": silo_sheet(bench, TRAINING, frozen),
        "coordinator.json": coordinator_sheet(bench, TRAINING, frozen),
    }
    rounds = {TRAINING: frozen, COUNTING: counted}
    return rounds | {name: sheet.to_json() for name, sheet in sheets.items()}
