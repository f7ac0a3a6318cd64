"""Reads arrays by TensorStore, local or gs://; writes Orbax checkpoints array by array."""

import ctypes
import gc
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import msgspec
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from etils import epath
from flax import serialization
from flax.traverse_util import unflatten_dict
from orbax.checkpoint import type_handlers

from tk_instruct import schema
from tk_instruct.convert.tensors import Index, Tensor, batches
from tk_instruct.errors import UserError

CHUNK_BYTES = 64 * 2**20
MAX_BYTES_AT_ONCE = 256 * 2**20
_STRUCTURE = "checkpoint"
# float32 holds every value of these types.
_DTYPES = [np.dtype(dtype) for dtype in (np.float32, np.float16, ml_dtypes.bfloat16)]


class _Key(msgspec.Struct, frozen=True):
    key: str | int


class _Value(msgspec.Struct, frozen=True):
    skip_deserialize: bool | None = None


class _LeafMetadata(msgspec.Struct, frozen=True):
    key_metadata: list[_Key]
    value_metadata: _Value | None = None


class _Metadata(msgspec.Struct, frozen=True):
    """The file _METADATA that Orbax writes for a tree."""

    tree_metadata: dict[str, _LeafMetadata]
    use_zarr3: bool | None = None


def key_value_store(path: str) -> dict[str, str]:
    """TensorStore's specification of a folder or file, local or gs://."""
    match = re.fullmatch(r"gs://([^/]+)/(.*)", path)
    if match:
        return {"driver": "gcs", "bucket": match[1], "path": match[2]}
    return {"driver": "file", "path": os.path.abspath(path) + "/" * path.endswith("/")}


def stored_array(name: str, path: str, spec: Mapping[str, Any]) -> Tensor:
    """An array in TensorStore; raises UserError, now or on reading, if it cannot be read."""
    try:
        # By default a missing chunk is read as zeros.
        array = ts.open({**spec, "fill_missing_data_reads": False}, open=True, read=True).result()
    except ValueError as error:
        raise unreadable(name, path, error) from error
    check_dtype(array.dtype.numpy_dtype, name, path)

    def read(index: Index) -> np.ndarray:
        # TensorStore ends the process if it gets no memory.
        for what in (array.chunk_layout.read_chunk.shape or (), array[index].shape):
            _check_fits(what, array.dtype.numpy_dtype.itemsize, name, path)
        try:
            return array[index].read().result().astype(np.float32, copy=False)
        except ValueError as error:
            raise unreadable(name, path, error) from error

    return Tensor(tuple(array.shape), read)


def _check_fits(shape: Sequence[int | None], item_bytes: int, name: str, path: str) -> None:
    needed = math.prod(size or 1 for size in shape) * item_bytes
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise UserError(
            f"{path}: {name} is to be read by {needed / 1e9:,.1f} GB and this machine has "
            f"{memory / 1e9:,.1f} GB; its .zarray is damaged, or the machine is too small: fetch "
            "the checkpoint again, or take a larger one"
        )


def check_dtype(dtype: np.dtype, name: str, path: str) -> None:
    if dtype not in _DTYPES:
        raise UserError(
            f"{path}: {name} is of {dtype}; weights must be float32, bfloat16 or float16: save "
            "them so (they are read as float32, which is exact)"
        )


def unreadable(name: str, path: str, error: Exception) -> UserError:
    why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"{path}: {name} cannot be read ({why}); the copy is damaged or not whole: fetch it again"
    )


def is_orbax_tree(folder: epath.Path) -> bool:
    """Whether a folder is a tree that Orbax has saved; trees before 2023 have no _METADATA."""
    names = ("_METADATA", _STRUCTURE, "manifest.ocdbt")
    return any((folder / name).exists() for name in names) or bool(_leaf_folders(folder))


def read_orbax(state: str, prefix: str) -> dict[str, Tensor]:
    """The arrays under a prefix of a tree that Orbax has saved; names have slashes.

    Raises UserError if the tree cannot be read.
    """
    return {
        name.removeprefix(prefix): held_array(name, state, leaf)
        if isinstance(leaf, np.ndarray)
        else stored_array(name, state, leaf)
        for name, leaf in orbax_leaves(state).items()
        if name.startswith(prefix)
    }


def held_array(name: str, path: str, array: np.ndarray) -> Tensor:
    """An array that was stored in the file of the tree itself, and so is in memory already."""
    check_dtype(array.dtype, name, path)
    return Tensor(array.shape, lambda index: array[index].astype(np.float32))


def read_orbax_integer(state: str, name: str) -> int:
    try:
        leaf = orbax_leaves(state)[name]
        if isinstance(leaf, dict):
            leaf = ts.open(leaf, open=True, read=True).result().read().result()
        return int(leaf)
    except (KeyError, ValueError, TypeError) as error:
        raise unreadable(name, state, error) from error


def orbax_leaves(state: str) -> dict[str, dict[str, Any] | np.ndarray]:
    """The leaves of a tree that Orbax has saved: a TensorStore specification, or the value.

    The structure of the tree comes from _METADATA (since 2023), or from a msgpack file
    `checkpoint`, in which a leaf is PLACEHOLDER://NAME (or AGGREGATED://NAME; in 2022 a
    specification) or its value. Without either file the names of the folders give it. Each array
    has a folder, or all are in one OCDBT store.

    Raises UserError if none can be read, and for a leaf that would be outside the folder.
    """
    folder = epath.Path(state)
    leaves: dict[str, Any] = {}  # names with slashes → name of the folder, or value
    driver = "zarr"
    what = _STRUCTURE
    try:
        if (folder / _STRUCTURE).exists():
            content = serialization.msgpack_restore((folder / _STRUCTURE).read_bytes())
            leaves |= {name: _named(leaf) for name, leaf in _flat(content).items()}
        what = "_METADATA"
        if (folder / what).exists():
            metadata = schema.read(folder / what, _Metadata, "it is damaged")
            driver = "zarr3" if metadata.use_zarr3 else "zarr"
            for leaf in metadata.tree_metadata.values():
                keys = [str(part.key) for part in leaf.key_metadata]
                if not (leaf.value_metadata and leaf.value_metadata.skip_deserialize):
                    leaves["/".join(keys)] = ".".join(keys)
    except Exception as error:  # msgpack has its own; files that are not Orbax's lack keys
        raise unreadable(what, state, error) from error
    if not leaves:
        leaves = {name.replace(".", "/"): name for name in _leaf_folders(folder)}
    in_one_store = (folder / "manifest.ocdbt").exists()

    def spec(name: str) -> dict[str, Any]:
        check_inside(name, state)
        store: dict[str, Any] = key_value_store(f"{state}/{name}/")
        if in_one_store:
            base = key_value_store(f"{state}/")
            store = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
        return {"driver": driver, "kvstore": store}

    return {
        name: spec(leaf) if isinstance(leaf, str) else np.asarray(leaf)
        for name, leaf in leaves.items()
    }


def check_inside(name: str, path: str) -> None:
    """Raises UserError if the name of a leaf leads out of the checkpoint's folder."""
    if name.startswith("/") or {"..", ""} & set(name.split("/")):
        raise UserError(
            f"{path}: a leaf is named {name!r}, which must be a name inside the folder; it is not "
            "a checkpoint as T5X and Orbax write them: take it from where it was published"
        )


def _leaf_folders(folder: epath.Path) -> list[str]:
    return [child.name for child in folder.iterdir() if (child / ".zarray").exists()]


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves by names with slashes; a TensorStore specification is one leaf."""
    if isinstance(tree, list | tuple):
        tree = {str(number): item for number, item in enumerate(tree)}
    if not isinstance(tree, dict) or {"driver", "kvstore"} <= set(tree):
        return {} if tree is None else {prefix: tree}
    name = f"{prefix}/".lstrip("/")
    return {k: v for key, item in tree.items() for k, v in _flat(item, f"{name}{key}").items()}


def _named(leaf: Any) -> Any:
    """The name of the array's folder or, if the array is in the file itself, its value."""
    if isinstance(leaf, dict):
        return leaf["kvstore"]["path"].rstrip("/").rpartition("/")[2]
    if isinstance(leaf, str):
        return re.sub("^(PLACEHOLDER|AGGREGATED)://", "", leaf)
    return leaf


@dataclass(frozen=True)
class _Leaf:
    """Stands for an array in Orbax; it is read only when it is written."""

    name: str
    tensor: Tensor


class _LeafHandler(type_handlers.NumpyHandler):
    """Writes arrays group by group, in the format of NumPy arrays."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        super().__init__(deepcopy_host_arrays=False)
        self.groups = groups

    async def serialize(self, values: Any, infos: Any, args: Any = None) -> list[Any]:
        leaves = {
            leaf.name: (leaf.tensor, info, arg)
            for leaf, info, arg in zip(values, infos, args, strict=True)
        }
        for names in self.groups:
            futures: list[Any] = []
            try:
                for name in names:
                    tensor, info, arg = leaves[name]
                    futures += await super().serialize([tensor.whole()], [info], [arg])
            finally:  # writes that have begun must end, also after an error
                errors = [error for error in map(_error_of, futures) if error]
            if errors:
                raise errors[0]
            del futures
            _give_memory_back()
        return []


def _give_memory_back() -> None:
    """Returns the memory of written arrays: Orbax keeps it in cycles, glibc in free blocks."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have no malloc_trim
    if trim:
        trim(0)


def _error_of(future: Any) -> Exception | None:
    try:
        future.result()
    except Exception as error:
        return error
    return None


def write_orbax(
    folder: Path,
    step: int,
    step_prefix: str | None,
    arrays: Mapping[str, np.ndarray],
    tensors: Mapping[str, Tensor],
    jsons: Mapping[str, Mapping[str, Any]],
) -> None:
    """Saves one step as Orbax's CheckpointManager does: the item `state` and items of JSON.

    `state` is the tree of arrays and tensors, whose names have slashes. The tensors are read and
    written in their order, a few at a time.
    """
    registry = type_handlers.create_type_handler_registry(
        (jax.Array, type_handlers.ArrayHandler()),  # without it Orbax warns
        (np.ndarray, type_handlers.NumpyHandler()),
        (_Leaf, _LeafHandler(batches(tensors, MAX_BYTES_AT_ONCE))),
    )
    manager = ocp.CheckpointManager(
        folder,
        item_handlers={
            "state": ocp.PyTreeCheckpointHandler(type_handler_registry=registry),
            **{name: ocp.JsonCheckpointHandler() for name in jsons},
        },
        options=ocp.CheckpointManagerOptions(
            step_prefix=step_prefix, create=True, enable_async_checkpointing=False
        ),
    )
    leaves = {name: _Leaf(name, tensor) for name, tensor in tensors.items()}
    save_args = {name: ocp.SaveArgs(chunk_byte_size=CHUNK_BYTES) for name in leaves}
    save_args |= {name: ocp.SaveArgs() for name in arrays}
    manager.save(
        step,
        args=ocp.args.Composite(
            state=ocp.args.PyTreeSave(
                unflatten_dict({**arrays, **leaves}, sep="/"),
                save_args=unflatten_dict(save_args, sep="/"),
            ),
            **{name: ocp.args.JsonSave(dict(content)) for name, content in jsons.items()},
        ),
    )
    manager.close()
