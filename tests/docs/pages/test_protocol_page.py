"""docs/protocol.md cannot go stale: what the code says stands in the page."""

import json
import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from protocol import errors
from protocol.codec import MAX_SITES
from protocol.identity.roster import COORDINATOR
from protocol.secagg import masking, messages, transcript
from protocol.secagg import secret_sharing as shares
from protocol.secagg.client import MIN_PARTICIPANTS
from protocol.secagg.context import COUNTS, MAX_DIM, PROTOCOL, SUITE, RoundContext
from protocol.secagg.messages import Advertise, Consistency, ShareHeader
from protocol.secagg.server import Step
from protocol.secagg.transcript import Transcript
from protocol.study.strategies.registry import STRATEGIES
from protocol.vectors import keystream, tensors
from protocol.vectors import ring_bounds as no_wrap
from protocol.vectors.evaluation import COUNT_UNITS
from tests import ROOT
from tests.make_vectors.contents import TRAINING
from tests.make_vectors.operations import MESSAGES, OPERATIONS
from tests.make_vectors.recorded_round import Exchange, Recorded
from tests.make_vectors.sheet import VECTORS, read
from tests.support.simulated.contexts import context_of

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
#: Whitespace is the page's own.
FLOWING = " ".join(PAGE.split())


def rows(title: str) -> list[list[str]]:
    """The cells of the table whose head begins with a title, row by row."""
    table = PAGE[PAGE.index(f"\n| {title} |") + 1 :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")][2:]


def blocks() -> list[str]:
    """What stands in the page as code."""
    return re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", MESSAGES)
def test_page_names_every_message_its_fields_and_its_limit(name: str) -> None:
    kind = MESSAGES[name]
    (row,) = [row for row in rows("type") if row[0] == f"`{kind.type}`"]
    assert row[3] == str(kind.max_bytes)
    for field in kind.__annotations__.keys() - {"type", "max_bytes"}:
        assert f"`{field}`" in row[2], f"{kind.type} has no {field}"


def test_page_names_no_message_that_does_not_exist() -> None:
    assert {row[0].strip("`") for row in rows("type")} == set(MESSAGES)


def test_page_says_how_long_a_message_inside_a_message_is() -> None:
    limits = {
        "advert-list": Advertise.max_bytes,
        "sender-list": ShareHeader.max_bytes,
        "signature-list": Consistency.max_bytes,
    }
    said = {row[0].strip("`"): row[2] for row in rows("type")}
    for name, limit in limits.items():
        assert f"at most {limit} bytes" in said[name]


def test_page_names_every_field_of_the_context_and_no_other() -> None:
    named = [row[0].strip("`") for row in rows("field")]
    assert named == [field.name for field in fields(RoundContext)]


def test_page_names_every_field_of_a_transcript() -> None:
    text = FLOWING[FLOWING.index("A *transcript* is") :][:300]
    assert all(f"`{field.name}`" in text for field in fields(Transcript))


def test_page_names_every_error_of_the_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert f"`{name}`" in PAGE, name


@pytest.mark.parametrize(
    "said",
    [
        f"At most {MAX_SITES} silos, 10^8 coordinates",
        f"Key {keystream.KEY_BYTES} bytes, digest {messages.HASH_BYTES}",
        f"signature {messages.SIGNATURE_BYTES}, salt {shares.SALT_BYTES},",
        f"share {shares.SHARE_BYTES}, opening {shares.OPENING_BYTES},",
        f"sealed {messages.SEALED_BYTES}, entry {messages.ENTRY_BYTES}.",
        f"2^40 = {no_wrap.COUNT_LIMIT}",
        f"All are in units of 1/{COUNT_UNITS} of a patient.",
        f"at most {no_wrap.MAX_SCALARS} of them, travel behind",
        f"floor(s * q * bound / {round(1 / no_wrap.SCALAR_PART)} * 2^f)",
        f"A transcript has at most {transcript.MOST_BYTES} bytes",
        f"safetensors files of at most {tensors.MAX_BYTES} bytes",
        f"| `dim` | 1 to {MAX_DIM} |",
        f"at most {MAX_SITES} of them",
        f"any multiple of {keystream.BLOCK_BYTES} bytes",
        f"at least max(t, minimum of sites, {MIN_PARTICIPANTS})",
        f"Version `{PROTOCOL}`, suite {SUITE}, messages of version {messages.VERSION}.",
        f"| `bound` | `{COUNTS}`, or a decimal |",
        f"It signs as `{COORDINATOR}`.",
        f"info = `{masking._LABEL}/` and a label",
        f"SHA-256 of `{masking._LABEL}` `\\n` `self-secret` `\\n` ctx",
        f"SHA-256 of `{shares._LABEL}` `\\n` ctx `\\n` owner `\\n` holder",
    ],
)
def test_page_says_what_the_code_says(said: str) -> None:
    assert said in FLOWING


def test_page_names_every_scalar_and_who_needs_it() -> None:
    text = FLOWING[FLOWING.index("**Scalars.**") :][:700]
    scalars = {name: one.scalars for name, one in STRATEGIES.items() if one.scalars}
    assert all(f"`{said}`" in text for name, own in scalars.items() for said in [name, *own])
    assert len(scalars) == 1 and "all other strategies have none" in text


def test_page_names_every_slot_that_travels_and_who_sends_it() -> None:
    text = FLOWING[FLOWING.index("**Slots that travel.**") :][:700]
    sent = {name: one.sends for name, one in STRATEGIES.items() if one.sends}
    assert all(f"`{said}`" in text for name, own in sent.items() for said in [name, *own])
    assert len(sent) == 1 and "no other strategy sends one" in text


def test_page_gives_the_field_of_the_shares() -> None:
    assert shares.PRIME == 2**521 - 1
    assert MAX_DIM == 10**8
    assert "p = 2^521 - 1" in FLOWING


def test_page_lists_the_public_keys_that_are_refused() -> None:
    (block,) = [block for block in blocks() if block.startswith("0\n1\n")]
    listed = {_number(line) for line in block.splitlines()}
    assert listed == masking._SMALL_ORDER


def _number(line: str) -> int:
    power, _, less = line.partition(" - ")
    return 2**255 - int(less) if power == "2^255" else int(power)


def test_page_has_a_chapter_for_every_step() -> None:
    chapters = re.findall(r"^### \d\. (.*)$", PAGE, re.MULTILINE)
    assert chapters == [step.value for step in Step]


def test_page_names_everything_that_a_silo_writes_down_before_it_answers() -> None:
    frozen = read(TRAINING)
    silo = Recorded.from_json(frozen).silo("lyon")
    for step in Step:
        exchange = Exchange.from_json(frozen["steps"][step.value])
        silo.answer(step, exchange.request, exchange.beside.get("lyon"))
    lines = FLOWING[FLOWING.index("The lines are:") :][:600]
    written = {slot.split("/")[0] for _, slot in silo.guard.entries}
    assert written == set(re.findall(r"`([a-z-]+)[/`]", lines))


@pytest.mark.parametrize("row", rows("n"), ids=lambda row: f"n={row[0]}")
def test_table_of_thresholds_is_true(row: list[str]) -> None:
    n, t, drops, most = map(int, row)
    assert (t, drops) == (2 * n // 3 + 1, n - t)
    changes = {"participants": tuple(f"site-{place:03d}" for place in range(n)), "bound": "1.0"}
    assert context_of(n, threshold=t, colluders=most, **changes).threshold == t
    with pytest.raises(ValueError, match="must hold"):
        context_of(n, threshold=t, colluders=most + 1, **changes)


def test_noise_is_refused_in_the_tightest_ring_as_the_page_says() -> None:
    context = context_of(100, bound="0.01", frac_bits=30, dim=10_000)
    noise = np.random.default_rng(0).integers(0, 2**32, context.dim, dtype=np.uint32)
    with pytest.raises(errors.SumRefused, match="longer than its updates can be"):
        context.require_sum(noise, 100)


def test_example_is_the_recorded_round() -> None:
    frozen = read(TRAINING)
    example = PAGE[: PAGE.index("## Conventions")]
    shown = blocks()
    steps = frozen["steps"]
    for step in ("advertise", "masked"):
        message = steps[step]["answers"]["lyon"]["message"]
        assert any(_same(block, message["signature"] + message["text"]) for block in shown)
    texts = [
        frozen["context_digest"],
        frozen["sites"]["lyon"]["vector"],
        steps["masked"]["answers"]["lyon"]["beside"],
        frozen["total"],
        json.dumps(frozen["sum"]),
    ]
    assert [text for text in texts if f"\n{text}\n" not in example] == []
    assert f"`{Recorded.from_json(frozen).roster.key_of('lyon').hex()}`" in example


def _same(block: str, text: str) -> bool:
    return block.replace("\n", "") == text


def test_explanation_of_the_vectors_names_every_file_and_operation() -> None:
    explanation = (VECTORS / "README.md").read_text(encoding="utf-8")
    named: list[Any] = [path.name for path in VECTORS.glob("*.json")] + list(OPERATIONS)
    assert [name for name in named if f"`{name}`" not in explanation] == []
