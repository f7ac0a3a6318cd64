"""How arrays lie over devices: a mesh, and one table from logical axes to axes of the mesh."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import jax
import numpy as np
from flax import linen as nn
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Num

from tk_instruct.errors import UserError

# The rows of a batch are split over data and fsdp. Parameters are split over fsdp, which gathers
# them before use, and over model, where each device multiplies its own part. Everything else is
# the same on all devices.
MESH_AXES = ("data", "fsdp", "model")
LOGICAL_AXIS_RULES: dict[str, str | tuple[str, ...] | None] = {
    # axes of parameters
    "embed": "fsdp",
    "heads": "model",
    "joined_kv": "model",
    "layers": None,
    "mlp": "model",
    "prompt": None,
    "relpos_buckets": None,
    "vocab": "model",
    # axes of activations
    "batch": ("data", "fsdp"),
    "length": None,
    "residual": None,
}

_TPU_LANES = 128  # numbers in one row of a TPU's vector register


def make_mesh(
    num_partitions: int | Literal["auto"],
    num_fsdp_shards: int = 1,
    devices: Sequence[jax.Device] | None = None,
) -> Mesh:
    """A mesh of all devices (of all processes) with the axes data, fsdp and model.

    Args:
        num_partitions: devices that compute one layer together, the model axis; "auto" is 1.
        num_fsdp_shards: groups of such devices that share one copy of the parameters, the fsdp
            axis.
        devices: the devices to use; by default all.

    Raises:
        UserError: the product of the two does not divide the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    num_devices = len(devices)
    partitions = 1 if num_partitions == "auto" else num_partitions
    for name, size, among in (
        ("num_partitions", partitions, num_devices),
        ("num_fsdp_shards", num_fsdp_shards, num_devices // max(partitions, 1)),
    ):
        if size < 1 or among % size:
            fitting = max(n for n in _divisors(among) if n <= max(size, 1))
            raise UserError(f"{name}={size} does not divide {among} devices; try {fitting}")
    shape = (num_devices // partitions // num_fsdp_shards, num_fsdp_shards, partitions)
    try:
        placed = mesh_utils.create_device_mesh(shape, devices)
    except NotImplementedError:  # no mesh axis fits the physical axes of this TPU as they are
        placed = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(placed, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))


def num_bytes(arrays: Any) -> int:
    """The size of all arrays of a tree together; abstract arrays, also boxed ones, will do."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))


def fsdp_shards_for_memory(
    state_bytes: int,
    d_model: int,
    num_partitions: int | Literal["auto"],
    num_devices: int,
    device_bytes: int | None = None,
) -> int:
    """1 where what a run keeps takes at most half of the memory, else most_fsdp_shards.

    Args:
        state_bytes: size of parameters, gradients and optimizer together.
        d_model: width of the model.
        device_bytes: memory of a device; by default what the device reports. A CPU reports
            nothing: then 1.
    """
    memory = device_bytes or (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    partitions = 1 if num_partitions == "auto" else num_partitions
    if memory is None or state_bytes / partitions <= memory / 2:
        return 1
    return most_fsdp_shards(d_model, max(1, num_devices // partitions))


def most_fsdp_shards(d_model: int, num_groups: int) -> int:
    """The largest number of fsdp shards that divides num_groups and is fast on every TPU.

    Each shard of a parameter must be at least as wide as a TPU's register. The compiler for v4
    gathers narrower shards with an all-reduce, which sends twice as many bytes.
    """
    return max(n for n in _divisors(num_groups) if n == 1 or d_model >= n * _TPU_LANES)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0] or [1]


def check_memory(arrays: Any) -> None:
    """Raises UserError where the arrays need more memory than a device has.

    `arrays` are abstract arrays from `placed`. The activations of a step are not counted: see
    `tk-instruct plan`.
    """
    needed = sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(arrays)
    )
    _check_bytes(
        needed,
        "the parameters and what the optimizer keeps",
        "take a smaller model (--gin_file=models/…), or more devices and NUM_FSDP_SHARDS or "
        "NUM_PARTITIONS",
    )


def check_program(compiled: jax.stages.Compiled, what: str, repair: str) -> None:
    """Raises UserError where a compiled program needs more memory than there is.

    Call it before the program runs. On a CPU there is no other error: the system grants more
    memory than it has, and later kills the process.
    """
    memory = compiled.memory_analysis()
    if memory is not None:  # not every backend reports it
        _check_bytes(memory.argument_size_in_bytes + memory.temp_size_in_bytes, what, repair)


def _check_bytes(per_device: int, what: str, repair: str) -> None:
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    needed, whose = per_device, "a device has"
    if memory is None:  # CPU devices share the memory of the machine
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        needed, whose = per_device * jax.local_device_count(), "this machine has"
    if needed > memory:
        raise UserError(
            f"{what} take {needed / 1e9:,.1f} GB and {whose} {memory / 1e9:,.1f} GB; {repair}"
        )


@contextmanager
def use(mesh: Mesh) -> Iterator[None]:
    """Functions traced inside this context shard their activations by LOGICAL_AXIS_RULES."""
    with jax.set_mesh(mesh), nn.logical_axis_rules(tuple(LOGICAL_AXIS_RULES.items())):
        yield


def num_row_shards(mesh: Mesh) -> int:
    """The number of parts into which the rows of a batch are split."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def check_batch_size(batch_size: int, mesh: Mesh, num_microbatches: int = 1) -> None:
    """Raises UserError unless each microbatch gives every data shard the same number of rows."""
    shards = num_row_shards(mesh)
    parts = shards * num_microbatches
    if batch_size < 1 or batch_size % parts:
        what = f"{shards} data shards"
        if num_microbatches > 1:
            what += f" × {num_microbatches} microbatches"
        raise UserError(
            f"batch_size={batch_size} does not divide over {what}; "
            f"try {parts * max(1, math.ceil(batch_size / parts))}"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch: its rows are split over data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(LOGICAL_AXIS_RULES["batch"]))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def replicated_key(seed: int, mesh: Mesh) -> Array:
    """The random key of a seed, on every device of every process."""
    return jax.jit(lambda: jax.random.key(seed), out_shardings=replicated(mesh))()


def local_rows(mesh: Mesh, batch_size: int) -> list[int]:
    """The indices of the rows that this process's devices hold, ascending.

    Processes that compute a layer together (num_partitions) hold the same rows.
    """
    held = np.zeros(batch_size, bool)
    for rows in batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values():
        held[rows] = True
    return np.flatnonzero(held).tolist()


def shard_batch(
    local_batch: Mapping[str, Num[np.ndarray, "rows ..."]], mesh: Mesh
) -> dict[str, Num[Array, "batch ..."]]:
    """Global arrays from the rows of each process.

    local_batch has this process's `local_rows`, in that order. The rows of the result are split
    over data and fsdp.
    """
    sharding, shards = batch_sharding(mesh), num_row_shards(mesh)
    local_shards = len(local_rows(mesh, shards))

    def global_array(local: np.ndarray) -> Array:
        batch_size = len(local) // local_shards * shards
        rows = local_rows(mesh, batch_size)

        def on_device(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(batch_size)
            first = rows.index(start)
            return local[first : first + stop - start]

        return jax.make_array_from_callback((batch_size, *local.shape[1:]), sharding, on_device)

    return {name: global_array(local) for name, local in local_batch.items()}


def placed(arrays: Any, mesh: Mesh) -> Any:
    """Abstract arrays without their boxes, each with its place on the mesh.

    An array in a box of flax.linen.LogicallyPartitioned is sharded by LOGICAL_AXIS_RULES; one
    without a box is on every device.

    Raises:
        KeyError: a logical axis that the table does not name.
        UserError: an axis that does not divide over the mesh.
    """

    def place(path: Any, leaf: Any) -> jax.ShapeDtypeStruct:
        if not nn.meta.is_axis_metadata(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh))
        array = leaf.value
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=_sharding(path, leaf, mesh))

    return jax.tree_util.tree_map_with_path(place, arrays, is_leaf=nn.meta.is_axis_metadata)


def _sharding(path: Any, box: Any, mesh: Mesh) -> NamedSharding:
    mesh_axes = [LOGICAL_AXIS_RULES[name] for name in box.names]
    for name, mesh_axis, size in zip(box.names, mesh_axes, box.value.shape, strict=True):
        shards = mesh.shape[mesh_axis] if isinstance(mesh_axis, str) else 1
        if size % shards:
            keys = (key.key for key in path if isinstance(key, jax.tree_util.DictKey))
            raise UserError(
                f"{name}={size} of {'/'.join(keys)} does not divide over {shards} {mesh_axis} "
                f"shards; try {math.gcd(size, shards)}"
            )
    return NamedSharding(mesh, PartitionSpec(*mesh_axes))
