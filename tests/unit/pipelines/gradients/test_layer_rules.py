"""Convolutions' gradients by windows, which a GPU uses, are those of one backward per patient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipelines.gradients import layer_rules

SIDES = (7, 8, 5)


def one_backward_each(layer: nn.Module, entered: Tensor, left: Tensor, patients: int) -> Tensor:
    parts = zip(entered.chunk(patients), left.chunk(patients), strict=True)
    return torch.stack([torch.autograd.grad(layer(x), layer.weight, y)[0] for x, y in parts])


@given(
    axes=st.sampled_from([2, 3]),
    numbers=st.tuples(*[st.integers(1, 3)] * 3),
    strides=st.tuples(*[st.integers(1, 3)] * 3),
    paddings=st.tuples(*[st.integers(0, 2)] * 3),
    dilation=st.integers(1, 2),
    patients=st.integers(1, 4),
    records=st.integers(1, 3),
    at_once=st.sampled_from([1, 2000, 1 << 26]),
)
def test_products_of_windows_are_the_patients_gradients(
    axes, numbers, strides, paddings, dilation, patients, records, at_once
):
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
    layer = convolution(3, 4, numbers[:axes], strides[:axes], paddings[:axes], dilation).double()
    torch.manual_seed(patients)
    entered = torch.randn(patients * records, 3, *SIDES[:axes], dtype=torch.float64)
    left = torch.randn_like(layer(entered))
    found, bias = (
        torch.full((patients, *own.shape), torch.nan, dtype=torch.float64)
        for own in (layer.weight, layer.bias)
    )
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(layer_rules, "_MAX_WINDOWS", at_once)
        patch.setattr(layer_rules, "_wants_windows", lambda *_: True)
        patch.setattr(layer_rules, "_is_pointwise", lambda *_: False)
        layer_rules.convolution(layer, entered, left, {"weight": found, "bias": bias})
    expected = one_backward_each(layer, entered, left, patients)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert torch.allclose(bias.sum(dim=0), left.flatten(2).sum(dim=(0, 2)))


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 4, 3, groups=2), nn.Conv3d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3)],
    ids=["grouped", "three dimensions", "transposed"],
)
def test_other_convolutions_are_not_computed_by_windows(layer):
    elsewhere = torch.empty(1, device="meta")
    assert not layer_rules._wants_windows(layer, elsewhere)
    assert layer_rules._wants_windows(nn.Conv2d(4, 4, 3), elsewhere)
    assert not layer_rules._wants_windows(nn.Conv2d(4, 4, 3), torch.empty(1))
