"""A model's bytes, layout and digest."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from protocol.errors import MessageRefused
from protocol.vectors.tensors import (
    decode_tensors,
    encode_tensors,
    flatten,
    layout_of,
    model_digest,
    unflatten,
)


def model(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "hidden.weight": generator.normal(size=(3, 4)).astype(np.float32),
        "hidden.bias": generator.normal(size=3).astype(np.float32),
        "a": generator.normal(size=(1, 2, 2)).astype(np.float32),
    }


def test_encoding_and_flattening_are_undone_exactly() -> None:
    tensors = model()
    layout = layout_of(tensors)
    assert model_digest(decode_tensors(encode_tensors(tensors))) == model_digest(tensors)
    assert model_digest(unflatten(layout, flatten(tensors))) == model_digest(tensors)


def test_the_digest_depends_on_every_parameter_name_and_shape_and_on_no_order() -> None:
    tensors = model()
    assert model_digest(dict(reversed(tensors.items()))) == model_digest(tensors)
    nudged = tensors | {"a": np.nextafter(tensors["a"], np.float32(9))}
    renamed = {name.replace("a", "b", 1): value for name, value in tensors.items()}
    reshaped = tensors | {"a": tensors["a"].reshape(2, 2, 1)}
    assert len({model_digest(m) for m in (tensors, nudged, renamed, reshaped)}) == 4


def test_equal_models_have_equal_bytes() -> None:
    assert encode_tensors(model()) == encode_tensors(dict(reversed(model().items())))


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 40, -1])
def test_a_truncated_model_is_refused(cut: int) -> None:
    with pytest.raises(MessageRefused, match="not safetensors"):
        decode_tensors(encode_tensors(model())[:cut])


def test_values_that_are_not_finite_float32_are_refused() -> None:
    with pytest.raises(MessageRefused, match="not finite"):
        decode_tensors(encode_tensors({"w": np.array([np.nan], np.float32)}))
    with pytest.raises(MessageRefused, match="expected float32"):
        decode_tensors(save({"w": np.zeros(2, np.float64)}))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_model_or_refused(data: bytes) -> None:
    with suppress(MessageRefused):
        decode_tensors(data)


def test_a_vector_of_the_wrong_length_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="expected a vector of 19"):
        unflatten(layout_of(model()), np.zeros(18))
