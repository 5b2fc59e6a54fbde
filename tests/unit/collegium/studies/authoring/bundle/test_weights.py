"""Weights are taken tensor by tensor, or refused by layer; a pickle is never opened."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from collegium.studies.authoring.bundle.files import open_bundle
from collegium.studies.authoring.bundle.weights import BundleWeights, has_weights, read_weights
from pipelines.networks.monai_names import MonaiNames
from protocol.errors import StudyRefused
from protocol.vectors.tensors import decode_tensors
from tests.support.bundles import make_bundle, volumes, zeros

NAMES = MonaiNames(
    own={"body.0.weight": "network.body.0.weight", "head.weight": "network.head.weight"},
    shapes={"body.0.weight": (3, 2), "head.weight": (1, 3)},
    unused=frozenset({"cross.weight"}),
    aliases={"skip.0.weight": "body.0.weight"},
)
PLAIN = MonaiNames(own={"a.w": "a.w"}, shapes={"a.w": (2,)}, unused=frozenset(), aliases={})
FIT = {"body.0.weight": zeros(3, 2), "head.weight": zeros(1, 3)}


class Disaster:
    """What a pickle can do to whoever opens it."""

    def __reduce__(self) -> Any:
        raise_it = "raise AssertionError('the pickle was opened')"
        return exec, (raise_it,)


def pickled() -> bytes:
    return pickle.dumps(Disaster())


def archived() -> bytes:
    """Returns what torch.save writes: an archive with a pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", pickled())
    return buffer.getvalue()


def read(
    folder: Path, data: bytes, names: MonaiNames = NAMES, without: tuple[str, ...] = ()
) -> BundleWeights:
    files = open_bundle(make_bundle(folder / "b", volumes(), weights=data))
    assert has_weights(files)
    return read_weights(files, names, without)


def test_a_file_by_the_networks_own_names_stays_as_it_is(tmp_path: Path) -> None:
    data = save({"a.w": np.array([1, 2], np.float32)}, metadata={"format": "pt"})
    assert read(tmp_path, data, PLAIN) == BundleWeights(data=data, left_out=(), unused=())


def test_names_become_the_studys_and_what_nothing_uses_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, save(FIT | {"cross.weight": zeros(9)}))
    assert set(decode_tensors(found.data)) == {"network.body.0.weight", "network.head.weight"}
    assert found.unused == ("cross.weight",)


def test_a_parameter_of_two_names_is_taken_once(tmp_path: Path) -> None:
    twice = read(tmp_path / "1", save(FIT | {"skip.0.weight": zeros(3, 2)}))
    other = {"skip.0.weight": zeros(3, 2), "head.weight": zeros(1, 3)}
    assert twice.data == read(tmp_path / "2", save(other)).data
    without = read(tmp_path / "3", save(other), without=("body",))
    assert set(decode_tensors(without.data)) == {"network.head.weight"}


def test_a_layer_is_left_out_only_where_it_is_named(tmp_path: Path) -> None:
    other = FIT | {"head.weight": zeros(5, 3), "n.num_batches_tracked": np.zeros(1, np.int64)}
    found = read(tmp_path, save(other), without=("head", "*.num_batches_tracked"))
    assert found.left_out == ("head.weight", "n.num_batches_tracked")
    assert set(decode_tensors(found.data)) == {"network.body.0.weight"}


@pytest.mark.parametrize(
    ("tensors", "without", "message"),
    [
        (FIT | {"head.weight": zeros(5, 3)}, (), "b/models/model.safetensors: 'head.weight' has "
         "shape (5, 3), the network's has (1, 3): leave the layer out by --without head; it then"),
        ({"head.weight": zeros(1, 3)}, (), "'body.0.weight', which the network has, is missing: "
         "let it start from the seed by --without body.0"),
        (FIT | {"tail.bias": zeros(1)}, (), "'tail.bias' is no layer of the study's network, which "
         "has 2 parameters, 'body.0.weight' first: other arguments of the network, or leave it out "
         "by --without tail"),
        (FIT | {"n.running_mean": zeros(2)}, (), "'n.running_mean' is what batch norm remembers; "
         "the study's network has none"),
        (FIT | {"n.num_batches_tracked": np.zeros((), np.int64)}, (), "add --without "
         "'*.running_mean,*.running_var,*.num_batches_tracked'"),
        (FIT, ("headd",), "--without headd: neither the network nor "),
        (FIT | {"head.weight": np.zeros((1, 3), np.float16)}, (),
         "tensor 'head.weight' is float16, expected float32"),
        (FIT | {"head.weight": np.full((1, 3), np.nan, np.float32)}, (),
         "tensor 'head.weight' holds values that are not finite"),
        (FIT | {"skip.0.weight": zeros(3, 2) + 1}, (), "'skip.0.weight' and 'body.0.weight' are "
         "one parameter of the network, and differ"),
        ({f"t{n}.w": zeros(1) for n in range(9)}, (), "and 7 more"),
    ],
)  # fmt: skip
def test_other_tensors_are_refused_by_layer(
    tmp_path: Path, tensors: Any, without: tuple[str, ...], message: str
) -> None:
    with pytest.raises(StudyRefused) as refused:
        read(tmp_path, save(tensors), without=without)
    assert message in str(refused.value)


def test_a_pickle_is_refused_by_its_name_and_not_opened(tmp_path: Path) -> None:
    for place, name in enumerate(("model.pt", "model.ts", "model.pth", "model.ckpt")):
        folder = tmp_path / str(place)
        make_bundle(folder, volumes(), weights=pickled(), weights_file=name)
        with pytest.raises(StudyRefused) as refused:
            has_weights(open_bundle(folder))
        said = str(refused.value)
        assert said.startswith(f"{folder}/models/{name}: a pickle, which can run code on whoever")
        assert "convert it to models/model.safetensors on a machine of your own" in said
        assert "--no-weights" in said


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickled(), "not safetensors: a pickle; it was not opened"),
        (archived(), "not safetensors: a ZIP archive, as torch.save writes around a pickle"),
        (b"", "not safetensors: SafetensorError"),
        (b"\x80", "not safetensors: SafetensorError"),
        (save(FIT)[:-4], "not safetensors: SafetensorError"),
    ],
)  # fmt: skip
def test_a_pickle_in_disguise_is_refused_by_its_form(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(StudyRefused) as refused:
        read(tmp_path, data)
    assert f"b/models/model.safetensors: {message}" in str(refused.value)


def test_a_bundle_without_weights_is_one(tmp_path: Path) -> None:
    assert not has_weights(open_bundle(make_bundle(tmp_path / "b", volumes())))
