"""Networks that give a class for every pixel or voxel of an image."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, Tag, model_validator

from protocol.study.task.networks.network import (
    GROUPS_OF_8,
    Activation,
    Channels,
    ImageNetwork,
    Kernel,
    Norm,
    Stride,
)


class Segmenter(ImageNetwork):
    """A network for a cohort whose label is a mask."""

    gives: ClassVar[str] = "masks"


class UNet(Segmenter):
    """U-Net of two to eight levels, with residual units if asked for (Kerfoot et al. 2019)."""

    target: Literal["UNet"] = Field("UNet", alias="_target_")
    channels: tuple[Channels, ...] = Field(min_length=2, max_length=8)
    strides: tuple[Stride, ...] = Field(min_length=1, max_length=7)
    kernel_size: Kernel = 3
    up_kernel_size: Kernel = 3
    num_res_units: int = Field(default=0, ge=0, le=8)
    act: Activation = "prelu"
    norm: Norm = "instance"

    @model_validator(mode="after")
    def _consistent(self) -> "UNet":
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError("strides must be one fewer than channels")
        return self


class BasicUNet(Segmenter):
    """U-Net of five levels (Falk et al. 2019)."""

    target: Literal["BasicUNet"] = Field("BasicUNet", alias="_target_")
    features: tuple[Channels, Channels, Channels, Channels, Channels, Channels] = (
        32, 32, 64, 128, 256, 32,
    )  # fmt: skip
    act: Activation = "leakyrelu"
    norm: Norm = "instance"
    upsample: Literal["deconv", "pixelshuffle", "nontrainable"] = "deconv"


class DynUNet(Segmenter):
    """U-Net whose kernels and strides are given level by level (Isensee et al. 2021, nnU-Net)."""

    target: Literal["DynUNet"] = Field("DynUNet", alias="_target_")
    kernel_size: tuple[Kernel, ...] = Field(min_length=3, max_length=8)
    strides: tuple[Stride, ...] = Field(min_length=3, max_length=8)
    upsample_kernel_size: tuple[Stride, ...] = Field(min_length=2, max_length=7)
    filters: tuple[Channels, ...] | None = None
    norm_name: Norm = "instance"
    res_block: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "DynUNet":
        levels = len(self.kernel_size)
        if len(self.strides) != levels or len(self.upsample_kernel_size) != levels - 1:
            raise ValueError(
                "strides must be as many as kernel_size, upsample_kernel_size one fewer"
            )
        if self.filters is not None and len(self.filters) < levels:
            raise ValueError("filters must be as many as kernel_size")
        return self


class SegResNet(Segmenter):
    """Residual encoder and decoder without skip connections by concatenation (Myronenko 2018)."""

    target: Literal["SegResNet"] = Field("SegResNet", alias="_target_")
    init_filters: int = Field(default=8, ge=1, le=128)
    act: Activation = "relu"
    norm: Norm = GROUPS_OF_8
    blocks_down: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        default=(1, 2, 2, 4), min_length=1, max_length=6
    )
    blocks_up: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        default=(1, 1, 1), max_length=5
    )
    upsample_mode: Literal["nontrainable", "deconv", "pixelshuffle"] = "nontrainable"

    @model_validator(mode="after")
    def _consistent(self) -> "SegResNet":
        if len(self.blocks_up) != len(self.blocks_down) - 1:
            raise ValueError("blocks_up must be one fewer than blocks_down")
        return self


class UNETR(Segmenter):
    """Transformer encoder, convolutional decoder (Hatamizadeh et al. 2022)."""

    target: Literal["UNETR"] = Field("UNETR", alias="_target_")
    feature_size: int = Field(default=16, ge=1, le=256)
    hidden_size: int = Field(default=768, ge=12, le=4096)
    mlp_dim: int = Field(default=3072, ge=8, le=16384)
    num_heads: int = Field(default=12, ge=1, le=64)
    norm_name: Norm = "instance"
    res_block: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "UNETR":
        if self.hidden_size % self.num_heads:
            raise ValueError("hidden_size must be a multiple of num_heads")
        return self


#: Every network here, tagged by the name of its record.
Segmenters: TypeAlias = (
    Annotated[UNet, Tag("UNet")]
    | Annotated[BasicUNet, Tag("BasicUNet")]
    | Annotated[DynUNet, Tag("DynUNet")]
    | Annotated[SegResNet, Tag("SegResNet")]
    | Annotated[UNETR, Tag("UNETR")]
)
