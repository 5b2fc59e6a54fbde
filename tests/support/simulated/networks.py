"""Every network that a study may name, small, with images that it takes."""

from collections.abc import Mapping

from protocol.study.cohort.cohort import Cohort, Image, ImageCohort, TableCohort
from protocol.study.cohort.columns import CategoryColumn, NumberColumn
from protocol.study.cohort.labels import BinaryLabel, MaskLabel
from protocol.study.task.networks.classifiers import (
    Classifier,
    DenseNet,
    EfficientNet,
    FullyConnectedNet,
    ResNet,
    ViT,
)
from protocol.study.task.networks.fusions import LateFusion
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.segmenters import UNETR, BasicUNet, DynUNet, SegResNet, UNet
from protocol.study.task.task import BinaryClassification, Segmentation, Task

#: MONAI's name (and what it is made of): settings, the sides of an image (or how many numbers), the
#: engine it names.
NETWORKS: Mapping[str, tuple[NetworkSettings, tuple[int, ...], str]] = {
    "FullyConnectedNet": (FullyConnectedNet(hidden_channels=(7,)), (5,), "chain"),
    "Classifier": (Classifier(channels=(4,), strides=(2,), num_res_units=2), (12, 9), "layers"),
    "Regressor": (
        Classifier(_target_="Regressor", channels=(4, 8), strides=(2, 2)), (8, 9, 10), "layers",
    ),
    "DenseNet121": (DenseNet(init_features=16, growth_rate=8), (32, 40), "layers"),
    "DenseNet169": (
        DenseNet(_target_="DenseNet169", init_features=16, growth_rate=8), (32, 32), "layers",
    ),
    "resnet10": (ResNet(_target_="resnet10"), (16, 16), "layers"),
    "resnet18": (ResNet(), (32, 32), "layers"),
    "resnet34": (ResNet(_target_="resnet34", no_max_pool=True), (16, 16), "layers"),
    "resnet50": (ResNet(_target_="resnet50", conv1_t_stride=2), (32, 32), "layers"),
    "EfficientNetBN": (EfficientNet(), (32, 32), "one at a time"),
    "ViT": (
        ViT(patch_size=8, hidden_size=16, mlp_dim=32, num_layers=2, num_heads=2), (16, 24), "vmap",
    ),
    "UNet": (UNet(channels=(4, 8, 16), strides=(2, 2), num_res_units=1), (16, 16, 16), "layers"),
    "BasicUNet": (BasicUNet(features=(4, 4, 8, 8, 8, 4)), (32, 32), "layers"),
    "DynUNet": (
        DynUNet(
            kernel_size=(3, 3, 3), strides=(1, 2, 2), upsample_kernel_size=(2, 2), filters=(4, 8, 8)
        ),
        (16, 16, 16),
        "layers",
    ),
    "SegResNet": (SegResNet(blocks_down=(1, 2, 2), blocks_up=(1, 1)), (16, 16, 16), "layers"),
    "UNETR": (UNETR(feature_size=4, hidden_size=24, mlp_dim=32, num_heads=2), (32, 32), "vmap"),
    "LateFusion": (
        LateFusion(
            image=DenseNet(init_features=16, growth_rate=8),
            table=FullyConnectedNet(hidden_channels=(7,)),
        ),
        (32, 32),
        "layers",
    ),
    "LateFusion of ViT": (
        LateFusion(
            image=ViT(patch_size=8, hidden_size=16, mlp_dim=32, num_layers=2, num_heads=2),
            table=FullyConnectedNet(hidden_channels=(7,), act="tanh"),
        ),
        (16, 16),
        "vmap",
    ),
    "LateFusion of Classifier": (
        LateFusion(image=Classifier(channels=(4,), strides=(2,)), table=FullyConnectedNet()),
        (12, 9),
        "layers",
    ),
}  # fmt: skip

#: Columns beside the images of a late fusion.
COLUMNS = (
    NumberColumn(name="age", kind="number", range=(-9, 9)),
    CategoryColumn(name="ward", kind="category", values=("a", "b", "c")),
)


def learned_by(name: str) -> tuple[Task, Cohort, tuple[int, ...]]:
    """Returns a task for a network of this name, a cohort of its kind, and a record's form."""
    settings, sides, _ = NETWORKS[name]
    if settings.cohort == "table":
        label = BinaryLabel(column="y", positive=(1,), negative=(0,))
        columns = tuple(
            NumberColumn(name=f"x{place}", kind="number", range=(-9, 9)) for place in range(*sides)
        )
        table = TableCohort(kind="table", patient_key="row", columns=columns, label=label)
        return BinaryClassification(network=settings), table, sides
    masks = settings.gives == "masks"
    label = (
        MaskLabel(mask="masks", classes={"none": (0,), "lesion": (1,)})
        if masks
        else BinaryLabel(positive=(1,), negative=(0,))
    )
    image = Image(shape=sides, range=(0, 1), centre=0, scale=1)
    columns = COLUMNS if settings.cohort == LateFusion.cohort else ()
    cohort = ImageCohort(
        kind="images", patient_key="row", label=label, image=image, columns=columns
    )
    if masks:
        return Segmentation(kind="segmentation", network=settings), cohort, (1, *sides)
    return BinaryClassification(network=settings), cohort, cohort.record_form
