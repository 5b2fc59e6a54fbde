"""A network, a transform and a loss of the Acme consortium."""

from typing import Any

import torch
from monai.transforms.transform import MapTransform, RandomizableTransform
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipelines.recipes.recipe import (
    LossRecipe,
    NetworkRecipe,
    Recipe,
    RecipeSettings,
    TransformRecipe,
)


class TinyNetSettings(RecipeSettings):
    """The arguments of ``TinyNet``."""

    width: int = Field(ge=1, le=64)


class TinyNet(nn.Module):
    """Two convolutions and a linear layer: what they find is averaged over the image."""

    def __init__(self, axes: int, width: int, outputs: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if axes == 2 else nn.Conv3d
        self.first = convolution(1, width, 3, padding=1)
        self.second = convolution(width, width, 3, stride=2, padding=1)
        self.last = nn.Linear(width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Returns (records, outputs)."""
        found = torch.tanh(self.second(torch.tanh(self.first(images))))
        scores: Tensor = self.last(found.flatten(2).mean(dim=2))
        return scores


def tiny_net(settings: TinyNetSettings, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Returns the network for images of two or three axes."""
    return TinyNet(len(shape) - 1, settings.width, outputs)


class RandInvertdSettings(RecipeSettings):
    """The arguments of ``RandInvertd``."""

    prob: float = Field(gt=0, le=1)


class RandInvertd(RandomizableTransform, MapTransform):
    """Turns the sign of an image: dark becomes bright, about the contract's centre."""

    def __init__(self, keys: tuple[str, ...], prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Returns the images, each of them turned or not."""
        self.randomize(None)  # draws from self.R, which the hospital seeds
        return {**data, **{key: -data[key] for key in self.keys}} if self._do_transform else data


class FocalLossSettings(RecipeSettings):
    """The arguments of ``FocalLoss``."""

    gamma: float = Field(default=2.0, ge=0, le=5)


def focal_loss(settings: FocalLossSettings) -> Any:
    """Returns the loss of one record: it counts less where the network is nearly right.

    Source: Lin et al. 2017, arXiv 1708.02002, equation 4.
    """

    def loss(outputs: Tensor, label: Tensor) -> Tensor:
        logit = torch.where(label > 0, outputs[0], -outputs[0])
        return torch.sigmoid(-logit) ** settings.gamma * functional.softplus(-logit)

    return loss


RECIPE = Recipe(
    networks={"TinyNet": NetworkRecipe(settings=TinyNetSettings, build=tiny_net)},
    transforms={
        "RandInvertd": TransformRecipe(
            settings=RandInvertdSettings,
            build=lambda settings, keys: RandInvertd(keys, settings.prob),
        )
    },
    losses={"FocalLoss": LossRecipe(settings=FocalLossSettings, build=focal_loss)},
)
