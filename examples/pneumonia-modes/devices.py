"""Writes what shows whether a public start, frozen layers and adapters make privacy cheaper.

Usage:  python examples/pneumonia-modes/devices.py DATA_FOLDER TO_FOLDER

``DATA_FOLDER`` holds the images that ``per-site.yaml`` reads. Forty of its training images are
taken out and stand for published ones: to the folder go the images that are left, one network's
parameters learned from those forty and from scikit-learn's handwritten digits (nobody's X-rays),
and a study for each device, which is ``per-site.yaml`` but for its network and learning rate.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from pipelines.networks.registry import architecture_of
from pipelines.networks.repairs import repaired
from protocol.encoding import digest
from protocol.study.study_file import read_study

OURS = Path(__file__).parent / "per-site.yaml"
NPZ = "dev_train_val.npz"
OF_EACH_CLASS = 20
#: With other images the same rule partitions otherwise: hospitals h1 to h8 of nearly one size.
PARTITION_SEED, DECLARED = 55, (500, 400, 900, 600, 500, 800, 600, 800)
#: The study's network, and a small transformer, which has linear layers for adapters.
NETWORKS = {
    "classifier": "{_target_: Classifier, channels: [8, 16], strides: [2, 2]}",
    "vit": "{_target_: ViT, patch_size: 7, hidden_size: 32, mlp_dim: 64, num_layers: 2, "
    "num_heads: 4}",
}
HEADS = {"classifier": "final", "vit": "network.classification_head"}
SOURCES = {
    "forty": "40 images of PneumoniaMNIST that no hospital of this study has (CC BY 4.0)",
    "digits": "Handwritten digits of scikit-learn (UCI, Alpaydin and Kaynak, CC BY 4.0)",
}
#: For each study's file its network, what it starts from, and what is trained.
DEVICES = {
    "classifier": ("classifier", None, "all"),
    "classifier-head": ("classifier", None, "head"),
    "classifier-digits": ("classifier", "digits", "all"),
    "classifier-digits-head": ("classifier", "digits", "head"),
    "classifier-forty": ("classifier", "forty", "all"),
    "vit": ("vit", None, "all"),
    "vit-digits": ("vit", "digits", "all"),
    "vit-digits-head": ("vit", "digits", "head"),
    "vit-digits-adapters": ("vit", "digits", "adapters"),
}
#: The best of 0.25, 0.5, 1 and 2 for the study's own network at epsilon 0.3.
RATE = 0.5


def held_out(images: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
    """Returns the places of twenty training images of each class that are not in ``val`` too."""
    tested = {image.tobytes() for image in images["val_images"]}
    trained, labels = images["train_images"], images["train_labels"].ravel()
    chosen = []
    for label in (0, 1):
        mixed = np.random.default_rng(7).permutation(np.flatnonzero(labels == label))
        own = [at for at in mixed if trained[at].tobytes() not in tested]
        chosen += own[:OF_EACH_CLASS]
    return np.array(chosen)


def scaled(images: NDArray[Any]) -> Tensor:
    """Returns images of 0 to 255 as the study's networks see them: (records, 1, 28, 28)."""
    return ((torch.from_numpy(images).float() - 127.5) / 64)[:, None]


def digits() -> tuple[Tensor, Tensor]:
    """Returns the handwritten digits at 28 x 28 pixels, and which they are."""
    found = load_digits()
    pixels = torch.from_numpy(found.images * (255 / 16)).float()[:, None]
    larger = nn.functional.interpolate(pixels, size=(28, 28), mode="bilinear")[:, 0]
    return scaled(larger.numpy()), torch.from_numpy(found.target).long()


def learned(network: str, records: Tensor, classes: Tensor, steps: int) -> nn.Module:
    """Returns a study's network after so many of Adam's steps, on 64 records each.

    It has an output for each class; of two classes one, as the study's own.
    """
    settings = read_study(study_text(network, None, "all")).task.network
    number = int(classes.max()) + 1
    torch.manual_seed(7)
    outputs = number if number > 2 else 1
    module = repaired(architecture_of(settings).build(settings, tuple(records.shape[1:]), outputs))
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(steps):
        drawn = torch.randint(len(records), (64,))
        scores = module(records[drawn])
        if number == 2:
            scores = nn.functional.pad(scores, (1, 0))
        optimiser.zero_grad()
        nn.functional.cross_entropy(scores, classes[drawn]).backward()
        optimiser.step()
    return module


def study_text(network: str, start: tuple[str, str] | None, trained: str) -> str:
    """Returns ``per-site.yaml`` with another network, a shorter step and larger micro-batches.

    Args:
        network: of ``NETWORKS``.
        start: the name of the file of parameters, of ``SOURCES``, and its digest.
        trained: all, or head, or adapters and head.
    """
    lines = [f"  network: {NETWORKS[network]}"]
    if start is not None:
        name, sha256 = start
        lines += [
            "  pretrained:",
            f"    file: {network}-{name}.safetensors",
            f"    sha256: {sha256}",
            f"    source: {SOURCES[name]}",
        ]
    if trained != "all":
        lines.append(f"  trained_layers: [{HEADS[network]}]")
    if trained == "adapters":
        lines.append("  adapters: {rank: 4, layers: [network.blocks]}")
    text = OURS.read_text(encoding="utf-8")
    for place, patients in enumerate(DECLARED, start=1):
        text = re.sub(rf"(name: h{place}, patients:) \d+", rf"\1 {patients}", text)
    text = text.replace("    seed: 1\n", f"    seed: {PARTITION_SEED}\n")
    text = re.sub(r"^  network: .*$", "\n".join(lines), text, count=1, flags=re.MULTILINE)
    return text.replace("learning_rate: 1.0", f"learning_rate: {RATE}").replace(
        "micro_batch: 64", "micro_batch: 256"
    )


def main(data: Path, to: Path, steps: int = 300) -> None:
    """Writes the images that are left, the parameters and the studies."""
    to.mkdir(parents=True)
    with np.load(data / NPZ, allow_pickle=False) as found:
        images = {name: found[name] for name in found}
    out = held_out(images)
    left = {
        name: np.delete(array, out, axis=0) if name.startswith("train_") else array
        for name, array in images.items()
    }
    np.savez(to / NPZ, **left)
    forty = torch.from_numpy(images["train_labels"].ravel()[out]).long()
    public = {"forty": (scaled(images["train_images"][out]), forty), "digits": digits()}
    starts = {}
    for network in NETWORKS:
        for name, (records, classes) in public.items():
            module = learned(network, records, classes, steps)
            if name == "forty":
                print(f"{network}, learned from the forty alone: {auroc(module, images):.3f}")
            own = {
                key: value.detach()
                for key, value in module.named_parameters()
                if name == "forty" or not key.startswith(HEADS[network])
            }
            place = to / f"{network}-{name}.safetensors"
            save_file(own, place)
            starts[network, name] = digest(place.read_bytes())
    for study, (network, start, trained) in DEVICES.items():
        named = None if start is None else (start, starts[network, start])
        text = study_text(network, named, trained)
        (to / f"{study}.yaml").write_text(text, encoding="utf-8")


def auroc(module: nn.Module, images: Mapping[str, NDArray[Any]]) -> float:
    """Returns a network's exact AUROC on the images of ``val``."""
    with torch.no_grad():
        scores = module(scaled(images["val_images"])).ravel()
    return float(roc_auc_score(images["val_labels"].ravel(), scores))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
