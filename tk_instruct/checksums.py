"""Checksums of a run's arrays, which do not depend on devices, sharding or file format."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, UInt32

from tk_instruct.errors import UserError
from tk_instruct.model.stacking import LAYER_AXIS, is_stacked

_PARAMS = "params/"


class DamagedError(UserError):
    """The stored content is not the content that was saved."""


def checksums(tree: Any) -> dict[str, str]:
    """Array name, such as params/encoder/layers_0/mlp/wo/kernel → 16 hexadecimal digits.

    A parameter that stacks layers has one checksum for each layer, so stacking changes nothing.
    Float types are converted to float32 first, which is exact. In a run of several processes all
    of them must make this call.

    Raises:
        UserError: a parameter (an array under params/) holds NaN or infinity, which is named.
    """
    flat = jax.tree_util.tree_leaves_with_path(tree)
    jax.block_until_ready(tree)
    found = {}
    for path, leaf in flat:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        # One program at a time. Many programs that wait for other processes at once can occupy
        # all threads of a CPU, and then none of them continues.
        values = jax.device_get(_sums(name, leaf))
        layers = _layer_names(name, len(values)) if _has_layers(name) else [name]
        for layer, (first, second, num_not_finite) in zip(layers, values, strict=True):
            if num_not_finite and name.startswith(_PARAMS):
                raise UserError(
                    f"{layer.removeprefix(_PARAMS)} holds {num_not_finite} numbers that are NaN or "
                    "infinite; weights must be finite: take an earlier or another checkpoint"
                )
            found[layer] = f"{first:08x}{second:08x}"
    return found


def verify(tree: Any, saved: Mapping[str, str]) -> dict[str, str]:
    """Compares the checksums with the saved ones, and returns them.

    Args:
        saved: checksums of at least these arrays; empty where none were saved.

    Raises:
        DamagedError: an array has another checksum; it is named.
        UserError: as checksums.
    """
    found = checksums(tree)
    for name, checksum in found.items():
        if saved and saved.get(name) != checksum:
            raise DamagedError(
                f"{name.removeprefix(_PARAMS)} has the checksum {checksum} and was saved with "
                f"{saved.get(name)}: its bytes have changed since; take a whole copy, or another "
                "step"
            )
    return found


def digest(content: Any) -> str:
    """The SHA-256 of the content as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _has_layers(name: str) -> bool:
    return name.startswith(_PARAMS) and is_stacked(name.removeprefix(_PARAMS))


def _layer_names(name: str, count: int) -> list[str]:
    params, stack, _, rest = name.split("/", 3)
    return [f"{params}/{stack}/layers_{i}/{rest}" for i in range(count)]


def _sums(name: str, leaf: Any) -> UInt32[Array, "layers 3"]:
    placed = getattr(leaf, "sharding", None)
    # Every process reads the result, so every device gets all of it.
    whole = (
        NamedSharding(placed.mesh, PartitionSpec()) if isinstance(placed, NamedSharding) else None
    )
    return _compiled(_has_layers(name), whole)(leaf)


@cache
def _compiled(has_layers: bool, whole: NamedSharding | None) -> Callable[[Any], Any]:
    return jax.jit(partial(_sums_of_layers, has_layers), out_shardings=whole)


def _sums_of_layers(has_layers: bool, array: Any) -> UInt32[Array, "layers 3"]:
    """For each layer: two checksums and the number of elements that are not finite.

    A checksum is the sum, modulo 2³², of each element's word mixed with its place. Sums of
    integers do not depend on the order, hence not on the mesh. The mixing is one to one, so a
    change of a single element always changes the sum.
    """
    array = jnp.asarray(array)
    array = jnp.moveaxis(array, LAYER_AXIS, 0) if has_layers else array[None]
    if jnp.issubdtype(array.dtype, jnp.floating):
        words = jax.lax.bitcast_convert_type(array.astype(jnp.float32), jnp.uint32)
        not_finite = (~jnp.isfinite(array)).astype(jnp.uint32)
    else:
        words, not_finite = array.astype(jnp.uint32), jnp.zeros(array.shape, jnp.uint32)
    place = jnp.zeros(array.shape, jnp.uint32)
    for axis in range(1, array.ndim):
        stride = np.uint32(math.prod(array.shape[axis + 1 :]) % 2**32)
        place += stride * jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis)
    first = _mixed(words ^ (place * np.uint32(0x9E3779B1)))
    second = _mixed(first + np.uint32(0x85EBCA77) * (place + 1))
    axes = tuple(range(1, array.ndim))
    sums = [jnp.sum(x, axes, dtype=jnp.uint32) for x in (first, second, not_finite)]
    return jnp.stack(sums, axis=-1)


def _mixed(words: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """MurmurHash3's fmix32: one to one, and each bit of the result depends on all input bits."""
    words ^= words >> 16
    words *= np.uint32(0x85EBCA6B)
    words ^= words >> 13
    words *= np.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
