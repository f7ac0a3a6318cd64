"""T5X's checkpoints: by Orbax (`state/`), or the older msgpack file with TensorStore arrays."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from etils import epath
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict

from tk_instruct.convert import storage
from tk_instruct.convert.shapes import infer_config
from tk_instruct.convert.tensors import (
    Checkpoint,
    Tensor,
    bias_for_each_layer,
    shared_bias,
    unstack,
)
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config


def is_orbax(folder: epath.Path) -> bool:
    """Whether a folder is a checkpoint_N/ that T5X saves by default, or its state/."""
    if (folder / "state").is_dir():
        return storage.is_orbax_tree(folder / "state")
    # The older format has a file of the same name.
    is_told = (folder / "_METADATA").exists() or not (folder / "checkpoint").exists()
    return is_told and storage.is_orbax_tree(folder)


def read_orbax(path: str) -> Checkpoint:
    """A checkpoint_N/ that T5X saves by default (since 2022), or its state/."""
    state = f"{path}/state" if (epath.Path(path) / "state").is_dir() else path
    tensors = storage.read_orbax(state, "target/")
    step = storage.read_orbax_integer(state, "state/step")
    return _checkpoint(path, "t5x", tensors, step)


def read_legacy(path: str) -> Checkpoint:
    """A checkpoint_N/ that T5X saves with use_orbax=False; the published ones are such."""
    file = f"{path}/checkpoint"
    try:
        content = serialization.msgpack_restore(epath.Path(file).read_bytes())
        if "optimizer" not in content and "target" in content:
            return read_orbax(path)
        state = content["optimizer"]
        leaves = flatten_dict(
            state["target"], sep="/", is_leaf=lambda _, tree: {"driver", "kvstore"} <= set(tree)
        )
        step = int(state["state"]["step"])
    except UserError:
        raise
    except Exception as error:  # msgpack has its own; files that are not T5X's lack keys
        raise storage.unreadable("optimizer/target", file, error) from error
    tensors = {name: _legacy_tensor(name, path, leaf) for name, leaf in leaves.items()}
    return _checkpoint(path, "t5x_legacy", tensors, step)


def _legacy_tensor(name: str, path: str, leaf: Any) -> Tensor:
    if isinstance(leaf, np.ndarray | np.generic):  # small arrays are in the file itself
        return storage.held_array(name, path, np.asarray(leaf))
    # The relative path is in one of two places; the bucket in the file is not the real one.
    try:
        relative = str(leaf["kvstore"].get("path") or leaf["path"])
        driver = leaf["driver"]
    except (KeyError, AttributeError, TypeError) as error:
        raise storage.unreadable(name, path, error) from error
    storage.check_inside(relative.rstrip("/"), path)
    if driver != "zarr":
        raise UserError(f"{path}: {name} is in driver={driver!r:.60}; T5X writes zarr alone")
    store = storage.key_value_store(f"{path}/{relative.rstrip('/')}")
    return storage.stored_array(name, path, {"driver": driver, "kvstore": store})


def _checkpoint(path: str, kind: str, stored: Mapping[str, Tensor], step: int) -> Checkpoint:
    tensors = shared_bias(
        {name: _heads_joined(name, tensor) for name, tensor in unstack(stored, path).items()}
    )
    config = infer_config({name: tensor.shape for name, tensor in tensors.items()}, path)
    return Checkpoint(path=path, format=kind, config=config, step=step, tensors=tensors)


def _heads_joined(name: str, tensor: Tensor) -> Tensor:
    if len(tensor.shape) != 3 or not name.endswith("/kernel"):
        return tensor
    first, second, third = tensor.shape
    if name.endswith("/out/kernel"):
        return tensor.reshaped(first * second, third)
    return tensor.reshaped(first, second * third)


def _heads_apart(name: str, tensor: Tensor, heads: int) -> Tensor:
    if not re.fullmatch(r".+attention/\w+/kernel", name):
        return tensor
    rows, columns = tensor.shape
    if name.endswith("/out/kernel"):
        return tensor.reshaped(heads, rows // heads, columns)
    return tensor.reshaped(rows, heads, columns // heads)


def scalable(tensors: Mapping[str, Tensor], config: T5Config | DecoderConfig) -> dict[str, Tensor]:
    """The tensors of T5X's scalable_t5: an axis for heads, relative positions in each layer.

    T5X's t5 and decoder_only have the same tensors as our models.
    """
    if isinstance(config, DecoderConfig):
        raise UserError(
            "T5X's scalable_t5 (for --scan_layers and relative_bias_per_layer) is an "
            "encoder-decoder, this model a decoder alone; leave --scan_layers out"
        )
    tensors = bias_for_each_layer(tensors)
    return {name: _heads_apart(name, tensor, config.num_heads) for name, tensor in tensors.items()}


def write_orbax(folder: Path, step: int, tensors: Mapping[str, Tensor]) -> None:
    """Writes folder/checkpoint_N/: parameters and step, without optimizer state."""
    storage.write_orbax(
        folder,
        step,
        "checkpoint",
        {"state/step": np.array(step, np.int32)},
        {f"target/{name}": tensor for name, tensor in tensors.items()},
        {},
    )


def write_legacy(folder: Path, step: int, tensors: Mapping[str, Tensor]) -> None:
    """Writes folder/checkpoint_N/: parameters and step, without optimizer state."""
    checkpoint = folder / f"checkpoint_{step}"
    checkpoint.mkdir(parents=True)
    specs = {}
    for name, tensor in tensors.items():
        relative = f"target.{name.replace('/', '.')}"
        rows = max(1, storage.CHUNK_BYTES // max(1, tensor.nbytes // tensor.shape[0]))
        spec: dict[str, Any] = {
            "driver": "zarr",
            "dtype": "float32",
            "kvstore": {"driver": "file", "path": relative},
            "metadata": {
                "compressor": {"id": "zstd"},
                "shape": list(tensor.shape),
                "chunks": [min(rows, tensor.shape[0]), *tensor.shape[1:]],
            },
        }
        specs[name] = spec
        here = {**spec, "kvstore": storage.key_value_store(f"{checkpoint}/{relative}")}
        # Chunks of zeros are written too: a missing chunk would look like an incomplete copy.
        here["store_data_equal_to_fill_value"] = True
        ts.open(here, create=True).result().write(tensor.whole()).result()
    content = {
        "version": 3,
        "optimizer": {
            "target": unflatten_dict(specs, sep="/"),
            "state": {"step": np.array(step, np.int32)},
        },
    }
    (checkpoint / "checkpoint").write_bytes(serialization.msgpack_serialize(content))
