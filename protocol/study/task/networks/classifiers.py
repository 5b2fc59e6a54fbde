"""Networks that give a few numbers for a record: scores, logits, a value."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, Tag, model_validator

from protocol.study.task.networks.network import (
    GROUPS_OF_8,
    Activation,
    Channels,
    ImageNetwork,
    Kernel,
    NetworkSettings,
    Norm,
    Stride,
)


class FullyConnectedNet(NetworkSettings):
    """Linear layers in a row; without hidden ones it is logistic, or linear, regression."""

    cohort: ClassVar[str] = "table"

    target: Literal["FullyConnectedNet"] = Field("FullyConnectedNet", alias="_target_")
    hidden_channels: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field((), max_length=64)
    act: Literal["relu", "tanh", "gelu", "prelu"] = "relu"


class Classifier(ImageNetwork):
    """A small convolutional network; ``Regressor`` has the same layers."""

    target: Literal["Classifier", "Regressor"] = Field("Classifier", alias="_target_")
    channels: tuple[Channels, ...] = Field(min_length=1, max_length=16)
    strides: tuple[Stride, ...] = Field(min_length=1, max_length=16)
    kernel_size: Kernel = 3
    num_res_units: int = Field(default=0, ge=0, le=8)
    act: Activation = "relu"
    norm: Norm = "instance"

    @model_validator(mode="after")
    def _consistent(self) -> "Classifier":
        if len(self.channels) != len(self.strides):
            raise ValueError("channels and strides must have the same length")
        return self


class DenseNet(ImageNetwork):
    """DenseNet with group norm, for images of 32 pixels a side and more (Huang et al. 2017)."""

    target: Literal["DenseNet121", "DenseNet169"] = Field("DenseNet121", alias="_target_")
    init_features: int = Field(default=64, ge=2, le=512)
    growth_rate: int = Field(default=32, ge=1, le=128)
    norm: Norm = GROUPS_OF_8


class ResNet(ImageNetwork):
    """Residual network of 10, 18, 34 or 50 layers (He et al. 2016; Chen et al. 2019, Med3D).

    Group norm of up to 32 groups stands where MONAI has batch norm, as Opacus repairs it.
    """

    target: Literal["resnet10", "resnet18", "resnet34", "resnet50"] = Field(
        "resnet18", alias="_target_"
    )
    conv1_t_size: Kernel = 7
    conv1_t_stride: Stride = 1
    no_max_pool: bool = False
    shortcut_type: Literal["A", "B"] = "B"


class EfficientNet(ImageNetwork):
    """EfficientNet b0 to b3, without its dropout and stochastic depth (Tan and Le 2019)."""

    target: Literal["EfficientNetBN"] = Field("EfficientNetBN", alias="_target_")
    model_name: Literal[
        "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3"
    ] = "efficientnet-b0"
    norm: Norm = GROUPS_OF_8


class ViT(ImageNetwork):
    """Vision transformer that classifies by its class token (Dosovitskiy et al. 2021)."""

    target: Literal["ViT"] = Field("ViT", alias="_target_")
    patch_size: int = Field(default=16, ge=1, le=256)
    hidden_size: int = Field(default=768, ge=8, le=4096)
    mlp_dim: int = Field(default=3072, ge=8, le=16384)
    num_layers: int = Field(default=12, ge=1, le=48)
    num_heads: int = Field(default=12, ge=1, le=64)

    @model_validator(mode="after")
    def _consistent(self) -> "ViT":
        if self.hidden_size % self.num_heads:
            raise ValueError("hidden_size must be a multiple of num_heads")
        return self


#: Those for images, tagged by the name of their record.
ImageClassifiers: TypeAlias = (
    Annotated[Classifier, Tag("Classifier")]
    | Annotated[DenseNet, Tag("DenseNet")]
    | Annotated[ResNet, Tag("ResNet")]
    | Annotated[EfficientNet, Tag("EfficientNet")]
    | Annotated[ViT, Tag("ViT")]
)

#: Every network here.
Classifiers: TypeAlias = Annotated[FullyConnectedNet, Tag("FullyConnectedNet")] | ImageClassifiers
