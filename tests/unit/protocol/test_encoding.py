"""Canonical bytes have exactly one form."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import canonical, digest_json, parse_canonical
from protocol.errors import MessageRefused

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_decoding_is_the_inverse_of_encoding(value: object) -> None:
    assert parse_canonical(canonical(value)) == value  # type: ignore[arg-type]


def test_the_order_of_keys_does_not_change_the_digest() -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})


@pytest.mark.parametrize(
    "data",
    [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b"NaN", b"1.0", b"\xff", b"", b"[" * 10**5,
     b"1 ", b'"\\u0041"', b"9" * 5000],
    ids=range(11),
)  # fmt: skip
def test_any_other_form_is_refused(data: bytes) -> None:
    with pytest.raises(MessageRefused, match="not canonical JSON"):
        parse_canonical(data)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_give_a_value_or_a_refusal(data: bytes) -> None:
    with suppress(MessageRefused):
        assert canonical(parse_canonical(data)) == data


def test_a_value_json_has_no_form_for_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        canonical(float("nan"))
