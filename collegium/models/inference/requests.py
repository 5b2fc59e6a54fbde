"""Requests of the service: bytes in, scores and faults out, with their line in the log.

Rules:

1. Each caller's newest records are watched apart, in memory; a restart forgets them, the log of
   queries stays.
2. A request is scored, logged and then answered; requests are scored one after the other.
3. A refusal names the record by its number and the column, never a value.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from collegium.models.inference.scoring_place import ScoringPlace
from protocol.errors import CohortRefused, MessageRefused, PolicyRefused
from protocol.study.cohort.cohort import TableCohort
from silos.results.inference.extraction_alarm import DAILY_VOLUME, ExtractionWatch
from silos.results.inference.input_places import input_places
from silos.results.inference.json_records import contract_of_json, table_of_json
from silos.results.inference.record_batches import RecordBatch, batches_of_table

#: Records of one request at most, and callers that are watched at once.
MOST_RECORDS, _CALLERS = 256, 1000


class RequestScoring:
    """Scores the records of requests.

    Args:
        place: the model, and the hospital with its log.

    Raises:
        PolicyRefused: the model takes images, which no request holds; or there is no log.
    """

    def __init__(self, place: ScoringPlace) -> None:
        cohort = place.model.study.cohort
        if not isinstance(cohort, TableCohort):
            raise PolicyRefused(
                "this model takes images: the service scores records of a table alone; score a "
                "folder with collegium infer MODEL FOLDER --to FILE"
            )
        if place.log is None:
            raise PolicyRefused("the service needs --home: the log of queries lies there")
        self._place, self._log = place, place.log
        self._cohort = contract_of_json(cohort)
        self._lock = threading.Lock()
        self._watches: OrderedDict[str, ExtractionWatch] = OrderedDict()

    @property
    def contract(self) -> Mapping[str, Any]:
        """The contract: what a record must hold, and what comes back."""
        return self._place.model.contract | {"most_records": MOST_RECORDS}

    def answer(self, body: bytes, caller: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Returns the answer to a request, and the alarms that it set off.

        Args:
            body: of the request: ``{"records": [{NAME: VALUE}, ...]}``.
            caller: whose token it came with.

        Raises:
            MessageRefused: it is no such request, or no record of it can be told from its columns.
            WorkspaceRefused, StoreBroken: it cannot be logged; then nothing is answered.
        """
        table = table_of_json(_records(body), self._cohort, self._place.site)
        with self._lock:
            try:
                (batch,) = batches_of_table(table, self._cohort, MOST_RECORDS)
            except CohortRefused as error:
                raise MessageRefused(str(error)) from error
            return self._scored(batch, caller)

    def _scored(self, batch: RecordBatch, caller: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        model, found = self._place.model, frozenset[str]()
        results: list[dict[str, Any]] = [
            {"faults": list(batch.faults.get(place, ()))} for place in range(len(batch.lines))
        ]
        if len(batch.places):
            outputs = model.outputs(batch.features)
            seen = input_places(batch.features, self._cohort)
            watch = self._watch(caller, seen.is_number)
            found = watch.look(seen.places, model.margins(outputs))
            for place, score in zip(batch.places.tolist(), model.scores(outputs), strict=True):
                results[place] = dict(score) | {"remarks": list(batch.remarks.get(place, ()))}
        entry = self._log.append(
            caller=caller,
            records=len(batch.places),
            refused=len(batch.faults),
            content=self._log.content_of(iter([batch.features])),
            model=model.digest,
            alarms=found,
            declared=self._place.records_a_day,
            over=DAILY_VOLUME,
        )
        told = {"model": model.digest, "snapshot": model.snapshot, "results": results}
        return told, entry.alarms

    def _watch(self, caller: str, is_number: "np.ndarray[Any, Any]") -> ExtractionWatch:
        watch = self._watches.pop(caller, None) or ExtractionWatch(is_number)
        self._watches[caller] = watch
        if len(self._watches) > _CALLERS:
            self._watches.popitem(last=False)
        return watch


def _records(body: bytes) -> list[Any]:
    """Returns the records of a request's body.

    Raises:
        MessageRefused: it is no JSON of the form, or holds none or too many.
    """
    try:
        said = json.loads(body, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MessageRefused("the body is no JSON, or has a name twice") from error
    if not isinstance(said, dict) or set(said) != {"records"}:
        raise MessageRefused('the body must be {"records": [{NAME: VALUE}, ...]}')
    records = said["records"]
    if not isinstance(records, list) or not 0 < len(records) <= MOST_RECORDS:
        raise MessageRefused(f"records must be a list of 1 to {MOST_RECORDS}")
    return records


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError("no number of JSON")
