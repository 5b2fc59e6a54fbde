"""What fuzzing has found, each with the smallest input that shows it.

A mended finding stays as a regression test. An open one is expected to fail
(``tests/long/fuzz/test_fuzz.py``) and is passed over in the runs: by target, by what
escaped and by where from, so that anything new still shows.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from compliance.privacy.events import SampledGaussian
from protocol.encoding import canonical, parse_canonical
from protocol.identity.roster import SigningKey
from protocol.secagg.context import RoundContext
from protocol.secagg.transcript import replay
from protocol.study.cohort.cohort import TableCohort
from protocol.study.cohort.columns import CategoryColumn
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import SignedSummary, open_summary, read_summaries
from protocol.vectors.tensors import decode_tensors, encode_tensors, model_digest
from tests.long.fuzz.engine import Broken, Finding
from tests.long.fuzz.targets.documents import SUMMARY
from tests.long.fuzz.targets.honest import recorded
from tests.long.fuzz.targets.messages import honest_transcript
from tests.support.simulated.contexts import context_of
from tests.support.simulated.studies import changed


@dataclass(frozen=True, kw_only=True)
class Known:
    """One finding: ``show`` must end in a refusal or in nothing; while it is open it does not."""

    name: str
    targets: tuple[str, ...]
    escaped: str
    where: str
    show: Callable[[], object]
    open: bool


def passed_over(finding: Finding) -> bool:
    """Whether a finding is one of the open ones."""
    return any(
        known.open
        and finding.target in known.targets
        and finding.escaped == known.escaped
        and finding.where.startswith(known.where)
        for known in KNOWN
    )


def _study(old: str, new: str) -> Callable[[], object]:
    return lambda: read_study(changed(old, new))


def _named_study(old: str, new: str) -> Callable[[], object]:
    return lambda: read_study(changed(old, new)).digest


def _bomb() -> object:
    """Nine times nine times ... the same key, by YAML's merge keys, in 400 bytes."""
    lines = ["a: &a {x: 1}"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}")
    return read_study("\n".join(lines))


def _model(shape: list[int]) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    return struct.pack("<Q", len(header)) + header


def _scalar_model() -> None:
    model = {"w": np.ones((), np.float32)}
    if model_digest(decode_tensors(encode_tensors(model))) != model_digest(model):
        raise Broken("a model with a scalar parameter is read back as another model")


def _summary_of_lists() -> None:
    key = SigningKey.from_bytes(bytes(32))
    data = canonical(asdict(SUMMARY) | {"site": ["east"]})
    open_summary(SignedSummary(data=data, signature=key.sign("summary", data)), key.public)
    raise Broken("a summary whose site is a list was taken")


def _event_of_version_true() -> None:
    event = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.5, steps=40)
    SampledGaussian.from_json(event.to_json() | {"v": True})
    raise Broken("the event is not in its one stored form")


def _deep_tree() -> None:
    data = b"[" * 900 + b"]" * 900
    if canonical(parse_canonical(data)) != data:
        raise Broken("what was read is written differently")


def _huge_round() -> object:
    """A transcript of 900 bytes, without a single answer, of a vector with 10**8 entries."""
    honest = honest_transcript()
    empty: dict[str, Any] = {name: {} for name in vars(honest) if name != "context"}
    context = replace(honest.context, dim=10**8, frac_bits=0)
    transcript = replace(honest, context=context, **empty)
    return replay(transcript, recorded().federation.roster, lambda _name: b"")


def _yaml_1_1() -> None:
    text = changed("values: [A, B, C]", "values: [NO, B, C]").replace("1e-3", "0.001")
    column = read_study("%YAML 1.1\n---\n" + text).cohort
    if isinstance(column, TableCohort) and "false" in column.features[1].tokens:  # type: ignore[union-attr]
        raise Broken("the country NO was read as false")


def _long_vocabulary() -> object:
    values = tuple(f"a{number}" for number in range(40_000))
    return CategoryColumn(name="ward", kind="category", values=values)


KNOWN: tuple[Known, ...] = (
    Known(
        name="a context whose bound is 1e308 gives OverflowError",
        targets=("context", "message-round-open", "hospital"),
        escaped="OverflowError", where="no_wrap.max_sum_of_updates",
        show=lambda: RoundContext.from_json(context_of(4).to_json() | {"bound": "1e+308"}),
        open=False,
    ),
    Known(
        name="deep JSON is read, and what was read cannot be written: RecursionError",
        targets=("canonical-json",), escaped="RecursionError", where="encoding._is_plain",
        show=_deep_tree, open=False,
    ),
    Known(
        name="a study whose bound is 1e308 gives OverflowError",
        targets=("study",), escaped="OverflowError", where="no_wrap.max_sum_of_updates",
        show=_study("threshold: 3", "bound: 1e308, threshold: 3"), open=False,
    ),
    Known(
        name="a study with an empty tagged integer gives IndexError",
        targets=("study",), escaped="IndexError", where="study_file.read_study",
        show=_study("epsilon: 4", 'epsilon: !!int ""'), open=False,
    ),
    Known(
        name="a study with an unknown tagged truth value gives KeyError",
        targets=("study",), escaped="KeyError", where="study_file.read_study",
        show=_study("epsilon: 4", "epsilon: !!bool x"), open=False,
    ),
    Known(
        name="a study with a list of lists as a key gives TypeError",
        targets=("study",), escaped="TypeError", where="study_file.read_study",
        show=_study("bins: 8", "bins: 8, [[a]]: b"), open=False,
    ),
    Known(
        name="a study with a list as a key gives TypeError",
        targets=("study",), escaped="TypeError", where="study_file.<genexpr>",
        show=_study("bins: 8", "bins: 8, [a]: b"), open=False,
    ),
    Known(
        name="a study with an endless hexadecimal number gives ValueError",
        targets=("study",), escaped="ValueError", where="study_file._said",
        show=_study("epsilon: 4", "epsilon: 0x" + "F" * 5000), open=False,
    ),
    Known(
        name="a study with an integer that has no canonical form is taken",
        targets=("study",), escaped="Broken", where="unknown",
        show=_named_study("positive: [1]", "positive: [9007199254740993]"), open=False,
    ),
    Known(
        name="a study with a lone surrogate in a vocabulary is taken, and has no digest",
        targets=("study",), escaped="Broken", where="unknown",
        show=_named_study("values: [A, B, C]", 'values: ["\\uD800", B, C]'), open=False,
    ),
    Known(
        name="a study that names an anchor twice gives a warning on the console",
        targets=("study",), escaped="ReusedAnchorWarning", where="study_file.read_study",
        show=_study("model: 1, split: 1", "model: &a 1, split: &a 1"), open=False,
    ),
    Known(
        name="a study of 400 bytes with merge keys of merge keys keeps the reader busy for ever",
        targets=("study",), escaped="TookTooLong", where="study_file.read_study",
        show=_bomb, open=False,
    ),
    Known(
        name="a study with a vocabulary of 40000 entries takes quadratic time",
        targets=("study",), escaped="TookTooLong", where="contract._distinct",
        show=_long_vocabulary, open=False,
    ),
    Known(
        name="a study that asks for YAML 1.1 is read as YAML 1.1: NO is false",
        targets=("study",), escaped="MantissaNoDotYAML1_1Warning", where="study_file.read_study",
        show=_yaml_1_1, open=False,
    ),
    Known(
        name="signed summaries with a lone surrogate give UnicodeEncodeError",
        targets=("summary-words",), escaped="UnicodeEncodeError", where="summary.read_summaries",
        show=lambda: read_summaries("\ud800"), open=False,
    ),
    Known(
        name="a summary whose site is a list is taken",
        targets=("summary",), escaped="Broken", where="unknown",
        show=_summary_of_lists, open=False,
    ),
    Known(
        name="a privacy event of version true is taken for one of version 1",
        targets=("privacy-event",), escaped="Broken", where="unknown",
        show=_event_of_version_true, open=False,
    ),
    Known(
        name="a transcript of 900 bytes without an answer takes 400 megabytes",
        targets=("replay",), escaped="MemoryError", where="unknown",
        show=_huge_round, open=False,
    ),
    Known(
        name="a model with a tensor of 0 x 2**60 entries has no digest",
        targets=("tensors", "hospital"), escaped="ValueError", where="encoding.canonical",
        show=lambda: model_digest(decode_tensors(_model([0, 2**60]))), open=False,
    ),
    Known(
        name="a model with a scalar parameter is written as one with a vector of one",
        targets=("tensors",), escaped="Broken", where="unknown", show=_scalar_model, open=False,
    ),
)  # fmt: skip
