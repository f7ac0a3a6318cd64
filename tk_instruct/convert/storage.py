"""Arrays in files by TensorStore, local or gs://, and Orbax checkpoints written array by array."""

import ctypes
import gc
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from etils import epath
from flax.traverse_util import unflatten_dict
from orbax.checkpoint import type_handlers

from tk_instruct.convert.tensors import Index, Tensor, batches
from tk_instruct.errors import UserError

CHUNK_BYTES = 64 * 2**20
MAX_BYTES_AT_ONCE = 256 * 2**20
# All of their values are float32 values too.
_DTYPES = [np.dtype(dtype) for dtype in (np.float32, np.float16, ml_dtypes.bfloat16)]


def key_value_store(path: str) -> dict[str, str]:
    """TensorStore's specification of a folder or file, local or gs://."""
    match = re.fullmatch(r"gs://([^/]+)/(.*)", path)
    if match:
        return {"driver": "gcs", "bucket": match[1], "path": match[2]}
    return {"driver": "file", "path": os.path.abspath(path) + "/" * path.endswith("/")}


def stored_array(name: str, path: str, spec: Mapping[str, Any]) -> Tensor:
    """An array that TensorStore reads; raises UserError, on reading too, where it cannot."""
    try:
        # A chunk that is not there would be read as zeros.
        array = ts.open({**spec, "fill_missing_data_reads": False}, open=True, read=True).result()
    except ValueError as error:
        raise unreadable(name, path, error) from error
    check_dtype(array.dtype.numpy_dtype, name, path)

    def read(index: Index) -> np.ndarray:
        try:
            return array[index].read().result().astype(np.float32, copy=False)
        except ValueError as error:
            raise unreadable(name, path, error) from error

    return Tensor(tuple(array.shape), read)


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


def read_orbax(state: str, prefix: str) -> dict[str, Tensor]:
    """The arrays under a prefix of a tree that Orbax has saved, by names with slashes."""
    leaves = _orbax_leaves(state)
    return {
        name.removeprefix(prefix): stored_array(name, state, spec)
        for name, spec in leaves.items()
        if name.startswith(prefix)
    }


def read_orbax_integer(state: str, name: str) -> int:
    try:
        leaf = ts.open(_orbax_leaves(state)[name], open=True, read=True).result()
        return int(leaf.read().result())
    except (KeyError, ValueError) as error:
        raise unreadable(name, state, error) from error


def _orbax_leaves(state: str) -> dict[str, dict[str, Any]]:
    """TensorStore's specification of each leaf of a tree that Orbax has saved."""
    folder = epath.Path(state)
    metadata = json.loads((folder / "_METADATA").read_text())
    in_one_store = (folder / "manifest.ocdbt").exists()

    def spec(keys: list[str]) -> dict[str, Any]:
        name = ".".join(keys)
        store: dict[str, Any] = key_value_store(f"{state}/{name}/")
        if in_one_store:
            base = key_value_store(f"{state}/")
            store = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
        return {"driver": "zarr3" if metadata.get("use_zarr3") else "zarr", "kvstore": store}

    leaves = metadata["tree_metadata"].values()
    keys_of_leaves = ([part["key"] for part in leaf["key_metadata"]] for leaf in leaves)
    return {"/".join(keys): spec(keys) for keys in keys_of_leaves}


@dataclass(frozen=True)
class _Leaf:
    """What Orbax takes for an array; it is read when it is its turn to be written."""

    name: str
    tensor: Tensor


class _LeafHandler(type_handlers.NumpyHandler):
    """Writes a few arrays after a few others, as NumPy's, in the order of `groups`."""

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
            finally:  # whatever happens, what has begun to be written must end before
                errors = [error for error in map(_error_of, futures) if error]
            if errors:
                raise errors[0]
            del futures
            _give_memory_back()
        return []


def _give_memory_back() -> None:
    """To the system, what was written: Orbax holds it in cycles, glibc in pieces."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other libraries have none
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
    """Saves one step as Orbax's CheckpointManager does: item `state`, and items of JSON.

    The tree of `state` are arrays and tensors by names with slashes; the tensors are read and
    written in their order, a few at a time.
    """
    registry = type_handlers.create_type_handler_registry(
        (jax.Array, type_handlers.ArrayHandler()),  # Orbax warns without
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
