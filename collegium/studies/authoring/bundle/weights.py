"""Weights of a bundle: a safetensors file, held against the study's network tensor by tensor.

Rules:

1. A pickle (``model.pt``, ``model.ts``) is not opened, whatever it is called.
2. Every tensor is one of the network's, of its shape, and none of the network's is missing;
   a layer is left out only where the person names it. Nothing is skipped without a word.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collegium.studies.authoring.bundle.files import BundleFiles
from protocol.errors import MessageRefused, StudyRefused
from protocol.vectors.tensors import MAX_BYTES, Tensors, decode_tensors, encode_tensors

if TYPE_CHECKING:  # torch is not needed to read a file, nor to begin a study without a bundle
    from pipelines.networks.monai_names import MonaiNames

WEIGHTS = "models/model.safetensors"
_PICKLES = (".pt", ".pth", ".ts", ".pkl", ".bin", ".ckpt")
_MAX_SHOWN = 4
#: What batch norm remembers of the patients that it was learned from.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
CONVERSION = "docs/study.md, From a MONAI bundle"


@dataclass(frozen=True, kw_only=True)
class BundleWeights:
    """A file of weights as the study takes it: by the names of the study's network.

    ``left_out`` are the names of tensors that the person left out, ``unused`` of those that no
    network of this kind uses.
    """

    data: bytes
    left_out: tuple[str, ...]
    unused: tuple[str, ...]


def has_weights(files: BundleFiles) -> bool:
    """Whether a bundle has a file of weights; False where it has none at all.

    Raises:
        StudyRefused: there are pickles only.
    """
    pickles = [name for name in files.sizes if name.endswith(_PICKLES)]
    if WEIGHTS in files.sizes:
        return True
    if pickles:
        raise StudyRefused(
            f"{files.shown_path(pickles[0])}: a pickle, which can run code on whoever opens it, "
            f"and was not opened: convert it to {WEIGHTS} on a machine of your own "
            f"({CONVERSION}), or begin without it by --no-weights"
        )
    return False


def read_weights(files: BundleFiles, names: "MonaiNames", without: Sequence[str]) -> BundleWeights:
    """Returns a bundle's weights, checked against the study's network.

    Args:
        files: the bundle's, with ``WEIGHTS`` among them.
        names: of the network's parameters.
        without: layers, parameters or patterns with ``*`` that are to start from the seed.

    Raises:
        StudyRefused: it is no safetensors file, or holds other tensors than the network has.
    """
    file, data = files.shown_path(WEIGHTS), files.read(WEIGHTS, MAX_BYTES)
    left_out: set[str] = set()
    statistics: list[str] = []

    def is_kept(name: str) -> bool:
        if any(
            _is_meant(n, meant) for n in (name, names.aliases.get(name, name)) for meant in without
        ):
            left_out.add(name)
        elif name.endswith(_STATISTICS):
            statistics.append(name)
        return name not in {*left_out, *statistics}

    try:
        tensors = decode_tensors(data, is_kept)
    except MessageRefused as error:
        raise StudyRefused(f"{file}: {error}") from error
    for meant in without:
        if not any(_is_meant(name, meant) for name in (*left_out, *names.own)):
            raise StudyRefused(
                f"--without {meant}: neither the network nor {file} has such a layer; the "
                f"network's last is {list(names.own)[-1].rpartition('.')[0]}"
            )
    unused = sorted(set(tensors) & names.unused)
    kept = {n: value for n, value in tensors.items() if n not in names.unused | {*names.aliases}}
    problems = []
    if statistics:
        problems.append(
            f"{min(statistics)!r} is what batch norm remembers; the study's network has none, for "
            "it mixes patients: these weights do not give what they gave. To start from the "
            f"others all the same, add --without '{','.join(f'*.{name}' for name in _STATISTICS)}'"
        )
    for name in sorted({*tensors} & {*names.aliases}):
        own = names.aliases[name]
        if not np.array_equal(kept.setdefault(own, tensors[name]), tensors[name]):
            problems.append(f"{name!r} and {own!r} are one parameter of the network, and differ")
    problems += _problems(kept, names, without)
    if problems:
        more = len(problems) - _MAX_SHOWN
        lines = [*problems[:_MAX_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise StudyRefused("\n".join(f"{file}: {line}" for line in lines))
    as_it_was = not left_out and {*tensors} == {*kept} == {names.own[name] for name in kept}
    return BundleWeights(
        data=data
        if as_it_was
        else encode_tensors({names.own[name]: value for name, value in kept.items()}),
        left_out=tuple(sorted(left_out)),
        unused=tuple(unused),
    )


def _problems(tensors: Tensors, names: "MonaiNames", without: Sequence[str]) -> Iterable[str]:
    for name, value in sorted(tensors.items()):
        if name not in names.shapes:
            yield (
                f"{name!r} is no layer of the study's network, which has {len(names.shapes)} "
                f"parameters, {next(iter(names.shapes))!r} first: other arguments of the network, "
                f"or leave it out by --without {_layer(name)}"
            )
        elif names.shapes[name] != value.shape:
            yield (
                f"{name!r} has shape {tuple(value.shape)}, the network's has {names.shapes[name]}: "
                f"leave the layer out by --without {_layer(name)}; it then starts from the seed"
            )
    for name in names.shapes:
        if name not in tensors and not any(_is_meant(name, meant) for meant in without):
            yield (
                f"{name!r}, which the network has, is missing: let it start from the seed by "
                f"--without {_layer(name)}"
            )


def _is_meant(name: str, meant: str) -> bool:
    within = name == meant or name.startswith(f"{meant}.")
    return within or fnmatch.fnmatchcase(name, meant)


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name
