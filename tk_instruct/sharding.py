"""Arrays over devices: a mesh of (data, model), and one table from logical axes to its axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from tk_instruct.errors import UserError
from tk_instruct.model.t5 import T5
from tk_instruct.step import TrainState, create_train_state, init_params

LOGICAL_AXIS_RULES: dict[str, str | None] = {
    "batch": "data",
    "embed": None,
    "heads": "model",
    "joined_kv": "model",
    "mlp": "model",
    "relpos_buckets": None,
    "vocab": "model",
}


def make_mesh(
    num_partitions: int | Literal["auto"], devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """All devices as (data, model): num_partitions of them share one copy of the parameters.

    "auto" is 1: every device holds all parameters.

    Raises:
        UserError: num_partitions does not divide the number of devices.
    """
    num_devices = jax.device_count() if devices is None else len(devices)
    partitions = 1 if num_partitions == "auto" else num_partitions
    if partitions < 1 or num_devices % partitions:
        divisors = (n for n in range(1, num_devices + 1) if num_devices % n == 0)
        fitting = max(n for n in divisors if n <= max(partitions, 1))
        raise UserError(
            f"num_partitions={partitions} does not divide {num_devices} devices; try {fitting}"
        )
    return jax.make_mesh(
        (num_devices // partitions, partitions),
        ("data", "model"),
        axis_types=(AxisType.Auto,) * 2,
        devices=devices,
    )


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises UserError unless every data shard gets the same number of rows, at least one."""
    shards = mesh.shape["data"]
    if batch_size < 1 or batch_size % shards:
        fitting = shards * max(1, math.ceil(batch_size / shards))
        raise UserError(
            f"batch_size={batch_size} does not divide over {shards} data shards; try {fitting}"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over the data axis."""
    return NamedSharding(mesh, PartitionSpec(LOGICAL_AXIS_RULES["batch"]))


def shard_batch(
    batch: Mapping[str, np.ndarray], mesh: Mesh
) -> dict[str, Int[Array, "batch length"]]:
    """This process's rows of a global batch → global arrays, rows over the data axis."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()
    }


def state_shardings(model: T5, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """A NamedSharding for every array of create_train_state(model, tx, rng).

    Parameters follow LOGICAL_AXIS_RULES. An optimizer slot of its parameter's shape is sharded
    like it; the others (counters, factored moments) are small and on every device.

    Raises:
        KeyError: a logical axis that the table does not name.
        UserError: an axis that does not divide over the mesh.
    """
    key = jax.random.key(0)
    boxed = jax.eval_shape(lambda rng: init_params(model, rng), key)
    state = jax.eval_shape(lambda rng: create_train_state(model, tx, rng), key)
    replicated = NamedSharding(mesh, PartitionSpec())
    params = jax.tree_util.tree_map_with_path(
        lambda path, box: _param_sharding(path, box, mesh), boxed, is_leaf=_is_box
    )
    like_params: Any = jax.tree.structure(state.params)

    def slots(tree: Any) -> Any:
        if jax.tree.structure(tree) != like_params:
            return replicated
        return jax.tree.map(
            lambda slot, param, sharding: sharding if slot.shape == param.shape else replicated,
            tree,
            state.params,
            params,
        )

    opt_state = jax.tree.map(
        slots, state.opt_state, is_leaf=lambda tree: jax.tree.structure(tree) == like_params
    )
    return state.replace(step=replicated, params=params, opt_state=opt_state)


def placed(abstract: Any, shardings: Any) -> Any:
    """Shapes and types from jax.eval_shape together with where each array is to lie."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        abstract,
        shardings,
    )


def _is_box(tree: Any) -> bool:
    return isinstance(tree, nn.LogicallyPartitioned)


def _param_sharding(path: Any, box: Any, mesh: Mesh) -> NamedSharding:
    mesh_axes = [LOGICAL_AXIS_RULES[name] for name in box.names]
    for name, mesh_axis, size in zip(box.names, mesh_axes, box.value.shape, strict=True):
        shards = mesh.shape[mesh_axis] if mesh_axis else 1
        if size % shards:
            raise UserError(
                f"{name}={size} of {jax.tree_util.keystr(path, simple=True, separator='/')} does "
                f"not divide over {shards} {mesh_axis} shards; try {math.gcd(size, shards)}"
            )
    return NamedSharding(mesh, PartitionSpec(*mesh_axes))


def abstract_params(model: T5, mesh: Mesh) -> Any:
    """Shapes, types and shardings of a model's parameters."""
    boxed = jax.eval_shape(lambda rng: init_params(model, rng), jax.random.key(0))
    shardings = jax.tree_util.tree_map_with_path(
        lambda path, box: _param_sharding(path, box, mesh), boxed, is_leaf=_is_box
    )
    return placed(nn.meta.unbox(boxed), shardings)
