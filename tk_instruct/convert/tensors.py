"""Checkpoints as names, shapes, and tensors that are read on demand."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tk_instruct.errors import UserError
from tk_instruct.model.stacking import LAYER_AXIS, is_stacked

if TYPE_CHECKING:
    from tk_instruct.checkpoint import Description
    from tk_instruct.model.config import DecoderConfig, T5Config

Index = tuple[slice, ...]
BIAS = "relpos_bias/rel_embedding"


@dataclass(frozen=True)
class Tensor:
    """A stored tensor; `read` returns a part of it (one slice for each axis) as float32."""

    shape: tuple[int, ...]
    read: Callable[[Index], np.ndarray]

    @property
    def nbytes(self) -> int:
        """The size as float32."""
        return 4 * int(np.prod(self.shape, dtype=np.int64))

    def whole(self) -> np.ndarray:
        """The whole tensor, in C order."""
        return np.ascontiguousarray(self.read((slice(None),) * len(self.shape)))

    def transposed(self) -> "Tensor":
        return Tensor(self.shape[::-1], lambda index: self.read(index[::-1]).T)

    def reshaped(self, *shape: int) -> "Tensor":
        """Reading a part of the result reads the whole tensor."""
        return Tensor(shape, lambda index: self.whole().reshape(shape)[index])


def check_finite(array: np.ndarray, name: str, path: str) -> None:
    """Raises UserError for NaN or infinity in an array; makes no copy of it."""
    # Both are NaN if one value is.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        count = array.size - np.count_nonzero(np.isfinite(array))
        raise UserError(
            f"{path}: {name} holds {count:,} values that are no finite numbers (NaN or infinity), "
            "with which a model computes nothing; the training has diverged or the copy is "
            "damaged: take an earlier checkpoint, or fetch it again"
        )


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in any format.

    Attributes:
        tensors: by T5X's names, layer by layer.
        vocabulary: a name that data.vocabulary takes; None if the format stores none.
        about: the description that a run of ours has saved.
        checksums: those that a run of ours has saved.
        stored_name: gives the name of a tensor in the format.
    """

    path: str
    format: str
    config: "T5Config | DecoderConfig"
    step: int
    tensors: Mapping[str, Tensor]
    vocabulary: str | None = None
    about: "Description | None" = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    stored_name: Callable[[str], str] = str

    def checked(self) -> "Checkpoint":
        """The same checkpoint; reading a value that is not finite raises UserError."""

        def read(name: str, index: Index) -> np.ndarray:
            array = self.tensors[name].read(index)
            stored = self.stored_name(name)
            check_finite(array, name if stored == name else f"{name} ({stored})", self.path)
            return array

        tensors = {
            name: Tensor(tensor.shape, partial(read, name)) for name, tensor in self.tensors.items()
        }
        return replace(self, tensors=tensors)

    def num_parameters(self) -> int:
        return sum(tensor.nbytes // 4 for tensor in self.tensors.values())


def batches(tensors: Mapping[str, Tensor], most_bytes: int) -> list[list[str]]:
    """The names in order, in groups of at most most_bytes; a larger tensor is a group alone."""
    groups: list[list[str]] = [[]]
    size = 0
    for name, tensor in tensors.items():
        if groups[-1] and size + tensor.nbytes > most_bytes:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += tensor.nbytes
    return groups


def split_layer(name: str) -> tuple[str, int] | None:
    """encoder/layers_3/X → (encoder/encoder/X, 3); None for a tensor outside the layers."""
    match = re.fullmatch(r"(\w+)/layers_(\d+)/(.+)", name)
    return (f"{match[1]}/{match[1]}/{match[3]}", int(match[2])) if match else None


def in_order(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sorts the same tensor of all layers together, so that a stacked tensor is read only once."""
    return dict(sorted(tensors.items(), key=lambda item: split_layer(item[0]) or (item[0], 0)))


def unstack(tensors: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """encoder/encoder/X → encoder/layers_i/X; raises UserError for an axis that is not T5X's."""
    kept: dict[tuple[str, str], np.ndarray] = {}

    def read_layer(name: str, layer: int, index: Index) -> np.ndarray:
        of_all = (index[0], slice(None), *index[1:])
        key = (name, str(of_all))
        if key not in kept:
            kept.clear()  # before reading: two tensors of an 11B model take 8 GB
            kept[key] = tensors[name].read(of_all)
        return kept[key][:, layer]

    unstacked = {}
    for name, tensor in tensors.items():
        if not is_stacked(name):
            unstacked[name] = tensor
            continue
        _check_layer_axis(name, tensor, tensors, path)
        stack, _, rest = name.split("/", 2)
        shape = (tensor.shape[0], *tensor.shape[LAYER_AXIS + 1 :])
        for i in range(tensor.shape[LAYER_AXIS]):
            unstacked[f"{stack}/layers_{i}/{rest}"] = Tensor(shape, partial(read_layer, name, i))
    return unstacked


def _check_layer_axis(name: str, tensor: Tensor, tensors: Mapping[str, Tensor], path: str) -> None:
    embedding = tensors.get("token_embedder/embedding")
    rightly = not name.endswith("scale") or not embedding or tensor.shape[0] == embedding.shape[1]
    if not rightly or len(tensor.shape) < 2:
        raise UserError(
            f"{path}: {name} is {tensor.shape}, layers are not its axis {LAYER_AXIS}, where T5X "
            "stacks them by default (param_scan_axis=1); save it from T5X with that axis"
        )


def stack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """encoder/layers_i/X → encoder/encoder/X, the layers its axis 1."""
    stacked: dict[str, Tensor] = {}
    layers: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        layer = split_layer(name)
        if layer:
            layers.setdefault(layer[0], {})[layer[1]] = tensor
        else:
            stacked[name] = tensor
    return stacked | {
        name: _stacked([of_layer[i] for i in range(len(of_layer))])
        for name, of_layer in layers.items()
    }


def _stacked(layers: Sequence[Tensor]) -> Tensor:
    first, *rest = layers[0].shape

    def read(index: Index) -> np.ndarray:
        chosen = layers[index[LAYER_AXIS]]
        of_layer = (index[0], *index[LAYER_AXIS + 1 :])
        part = chosen[0].read(of_layer)
        result = np.empty((part.shape[0], len(chosen), *part.shape[1:]), np.float32)
        for i, layer in enumerate(chosen):
            result[:, i] = layer.read(of_layer) if i else part
        return result

    return Tensor((first, len(layers), *rest), read)


def bias_for_each_layer(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies a stack's shared table of relative positions into each of its layers."""
    stacks = {name.split("/")[0] for name in tensors if re.fullmatch(rf"\w+/{BIAS}", name)}
    result = {
        name: tensors[name] for name in tensors if name.removesuffix(f"/{BIAS}") not in stacks
    }
    for name in tensors:
        layer = re.match(r"(\w+)/layers_\d+/", name)
        if layer and layer[1] in stacks:
            result[f"{layer[0]}{BIAS}"] = tensors[f"{layer[1]}/{BIAS}"]
    return result


def shared_bias(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces the layers' tables of relative positions by one a stack, if they are all equal."""
    tables: dict[str, list[np.ndarray]] = {}
    for name, tensor in tensors.items():
        layer = re.fullmatch(rf"(\w+)/layers_\d+/{BIAS}", name)
        if layer:
            tables.setdefault(layer[1], []).append(tensor.whole())
    if not all(np.array_equal(table, of[0]) for of in tables.values() for table in of):
        return dict(tensors)
    result = {
        name: tensor
        for name, tensor in tensors.items()
        if not re.fullmatch(rf"\w+/layers_\d+/{BIAS}", name)
    }
    return result | {f"{stack}/{BIAS}": tensors[f"{stack}/layers_0/{BIAS}"] for stack in tables}
