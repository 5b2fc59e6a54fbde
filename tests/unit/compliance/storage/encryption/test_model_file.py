"""The digest of a model's file is the model's, and what is no model is refused."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.storage.encryption import model_file
from compliance.storage.encryption.model_file import digest_of_model_file
from protocol.errors import MessageRefused
from protocol.vectors.tensors import decode_tensors, encode_tensors, model_digest


def file_of(header: object, data: bytes = b"") -> bytes:
    return text_of(json.dumps(header).encode(), data)


def text_of(text: bytes, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + data


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.lists(st.integers(1, 4), max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_the_digest_of_a_file_is_the_models(shapes: dict[str, list[int]]) -> None:
    model = {
        name: np.full(shape, number, np.float32)
        for number, (name, shape) in enumerate(shapes.items())
    }
    assert digest_of_model_file(io.BytesIO(encode_tensors(model))) == model_digest(model)


def test_tensors_in_another_order_and_metadata_change_no_digest() -> None:
    first, second = np.float32([1, 2]).tobytes(), np.float32([3]).tobytes()
    said = {"__metadata__": {"a": "b"}, "z": tensor(0, 8, [2]), "a": tensor(8, 12, [1])}
    data = file_of(said, first + second)
    assert digest_of_model_file(io.BytesIO(data)) == model_digest(decode_tensors(data))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no header"),
        (b"\xff" * 20, "no header"),
        (b"PK\x03\x04" + bytes(90), "not safetensors"),
        (file_of({"a": tensor(0, 8, [2], "F64")}, bytes(8)), "F64"),
        (file_of({"a": tensor(0, 8, [3])}, bytes(8)), "another number of values"),
        (file_of({"a": tensor(0, 8, [2])}, bytes(7)), "do not fill"),
        (file_of({"a": tensor(0, 8, [2])}, bytes(9)), "do not fill"),
        (file_of({"a": tensor(0, 4, [1]), "b": tensor(8, 12, [1])}, bytes(12)), "gap"),
        (file_of({"a": tensor(0, 4, [1]), "b": tensor(0, 4, [1])}, bytes(4)), "gap"),
        (file_of({"a": tensor(0, 0, [0])}), "another number of values"),
        (file_of({}), "do not fill"),
        (file_of({"a": tensor(0, 4, [1]) | {"more": 1}}, bytes(4)), "ValueError"),
        (file_of({"__metadata__": {"n": 1}, "a": tensor(0, 4, [1])}, bytes(4)), "ValueError"),
        (file_of({"__metadata__": 5, "a": tensor(0, 4, [1])}, bytes(4)), "AttributeError"),
        (file_of({"__metadata__": {"n": float("inf")}, "a": tensor(0, 4, [1])}), "ValueError"),
        (file_of({"a": tensor(0, 4, [1])}, bytes(4)).replace(b'"a"', b'"\xff"'), "Unicode"),
        (file_of({"\ud800": tensor(0, 4, [1])}, bytes(4)), "UnicodeEncodeError"),
        (file_of([1]), "TypeError"),
        (file_of({"a": tensor(-4, 0, [1])}, bytes(4)), "ValueError"),
        (
            text_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', bytes(4)),
            "ValueError",
        ),
        (file_of({"a": tensor(0, 4, [1] * 33)}, bytes(4)), "33 axes"),
        (file_of({"a": tensor(0, 4, [1])}, np.float32([np.nan]).tobytes()), "not finite"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(MessageRefused, match=told):
        digest_of_model_file(io.BytesIO(data))


def test_a_model_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "MAX_BYTES", 10)
    with pytest.raises(MessageRefused, match="exceeds the limit of 10"):
        digest_of_model_file(io.BytesIO(bytes(11)))
