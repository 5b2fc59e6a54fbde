"""Fields of a record set: the columns, images and labels that a study declares."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.columns import CategoryColumn, DateColumn, NumberColumn
from protocol.study.cohort.labels import (
    BinaryLabel,
    ClassLabel,
    FindingsLabel,
    MaskLabel,
    NumberLabel,
    SurvivalLabel,
)
from protocol.study.cohort.vocabulary import Vocabulary, canonical_token
from protocol.study.study import Study

#: The record set of a cohort.
RECORDS = "records"
_LABEL = "cr:Label"
_TEXT, _NUMBER, _DATE, _IMAGE = "sc:Text", "sc:Float", "sc:Date", "sc:ImageObject"
_ROW = "row"

Json = dict[str, Any]


def record_sets(study: Study, source: Json) -> list[Json]:
    """Returns the record sets: vocabularies first, then the records.

    Args:
        study: the study.
        source: a reference to the file or the set of files whose columns the fields are.
    """
    fields = [*_columns(study, source), *_labels(study, source)]
    records: Json = {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": _whose(study),
        "field": fields,
    }
    key = study.cohort.patient_key
    if key != _ROW:
        found = [one for one in fields if one["@id"] == _id(key)]
        if not found:
            text = "tells patients apart; a patient may have several records"
            fields.insert(0, _field(key, _TEXT, f"{key}: {text}", source))
    return [*_vocabularies(study), records]


def _whose(study: Study) -> str:
    cohort = study.cohort
    if cohort.patient_key == _ROW:
        return "One record is one patient."
    return (
        f"One record of a patient, of whom at most {cohort.max_records_per_patient} are used; "
        f"{cohort.patient_key} tells patients apart."
    )


def _columns(study: Study, source: Json) -> Iterator[Json]:
    cohort = study.cohort
    if isinstance(cohort, ImageCohort):
        yield _field("images", _IMAGE, _image_words(cohort), source)
    labels = {*cohort.label.columns}
    for column in cohort.columns:
        if column.name in labels:
            continue
        if isinstance(column, CategoryColumn):
            text = "a category, one of the values named"
            found = _field(column.name, _TEXT, f"{column.name}: {text}", source)
            yield found | {"references": {"field": {"@id": _value_id(column.name)}}}
        elif isinstance(column, NumberColumn):
            yield _field(column.name, _NUMBER, _number_words(column), source)
        elif isinstance(column, DateColumn):
            text = f"a date, written as {column.format}"
            yield _field(column.name, _DATE, f"{column.name}: {text}", source)
        else:
            yield _field(column.name, _TEXT, f"{column.name}: no input of the model", source)


def _number_words(column: NumberColumn) -> str:
    low, high = column.range
    unit = f" {column.unit}" if column.unit else ""
    beyond = "is clipped" if column.outside == "clip" else "is refused"
    more = ""
    if column.units:
        others = ", ".join(sorted(column.units))
        more = f"; a hospital may have it in {others}, which is converted"
    return f"{column.name}: a number of {low:g} to {high:g}{unit}; what lies outside {beyond}{more}"


def _image_words(cohort: ImageCohort) -> str:
    image = cohort.image
    sides = " x ".join(map(str, image.shape))
    low, high = image.range
    steps = f", after {len(image.preprocessing)} transforms" if image.preprocessing else ""
    return f"images: one channel, {sides}{steps}; values of {low:g} to {high:g} as they are"


def _labels(study: Study, source: Json) -> Iterator[Json]:
    label = study.cohort.label
    match label:
        case BinaryLabel():
            text = f"ill: {_words(label.positive)}; not ill: {_words(label.negative)}"
            yield _label(label.column or "labels", _TEXT, text, source)
        case ClassLabel() | MaskLabel():
            text = "; ".join(f"{name}: {_words(values)}" for name, values in label.classes.items())
            name = label.mask if isinstance(label, MaskLabel) else label.column or "labels"
            yield _label(name, _IMAGE if isinstance(label, MaskLabel) else _TEXT, text, source)
        case FindingsLabel():
            for name, one in label.findings.items():
                text = f"finding {name}: {_words(one.positive)}; none: {_words(one.negative)}"
                yield _label(one.column or name, _TEXT, text, source)
        case NumberLabel():
            low, high = label.range
            text = f"a number of {low:g} to {high:g}, to be predicted"
            yield _label(label.column or "labels", _NUMBER, text, source)
        case SurvivalLabel():
            low, high = label.range
            text = f"time of {low:g} to {high:g} that the patient was observed"
            yield _label(label.column or "labels", _NUMBER, text, source)
            text = f"event: {_words(label.occurred)}; censored: {_words(label.censored)}"
            yield _label(label.event, _TEXT, text, source)
        case _:
            for name in label.columns:
                yield _label(name, _DATE, "a date that the label is made of", source)


def _label(name: str, kind: str, text: str, source: Json) -> Json:
    return _field(name, kind, f"{name}: the label; {text}", source) | {"dataType": [kind, _LABEL]}


def _field(name: str, kind: str, text: str, source: Json) -> Json:
    found: Json = {
        "@type": "cr:Field",
        "@id": _id(name),
        "name": name,
        "description": text,
        "dataType": kind,
    }
    extract = {"fileProperty": "content"} if kind == _IMAGE else {"column": name}
    return found | {"source": {**source, "extract": extract}}


def _vocabularies(study: Study) -> Iterator[Json]:
    for column in study.cohort.columns:
        if not isinstance(column, CategoryColumn):
            continue
        place = _value_id(column.name)
        yield {
            "@type": "cr:RecordSet",
            "@id": f"{quote(column.name, safe='')}-values",
            "name": f"{column.name}-values",
            "description": f"The values that {column.name} may have.",
            "dataType": "sc:Enumeration",
            "key": {"@id": place},
            "field": [{"@type": "cr:Field", "@id": place, "name": "value", "dataType": _TEXT}],
            "data": [{place: token} for token in column.tokens],
        }


def _words(values: Vocabulary) -> str:
    return ", ".join(canonical_token(value) for value in values)


def _id(name: str) -> str:
    return f"{RECORDS}/{quote(name, safe='')}"


def _value_id(name: str) -> str:
    return f"{quote(name, safe='')}-values/value"
