"""Compiles one layout of a run's step, and reads its memory, work and collectives.

This runs in the compiler's process (see compiler.py), where nothing has imported JAX before.
"""

import hashlib
import json
import os
import pickle
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tk_instruct.errors import UserError
from tk_instruct.plan import hlo
from tk_instruct.plan.hlo import Collective
from tk_instruct.plan.topology import Topology

if TYPE_CHECKING:
    import jax

    from tk_instruct.train_run import TrainRun

Verb = Literal["train", "predict"]

_LIBTPU_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # for this machine; the TPU compiler is asked for by name
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_LOG_DIR": "disabled",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v3-8",  # any type; the topology gives the real one
    "TPU_MIN_LOG_LEVEL": "3",
}
# Rows of predict's batch without --batch_size.
ROWS_PER_SHARD = 4
# The compiler refuses an array of this shape, and says how much memory a device has.
_TOO_LARGE = (2**30, 2**10)


@dataclass(frozen=True)
class Layout:
    """How a step is divided over devices and time; the names are those of the recipes."""

    num_partitions: int
    num_fsdp_shards: int = 1
    remat: str = "none"
    num_microbatches: int = 1


@dataclass(frozen=True)
class Compiled:
    """The compiler's answer for one layout. Numbers are for one device and one step.

    Attributes:
        mesh: devices along data, fsdp and model.
        batch_size: rows of a step.
        num_tokens: tokens of a step as T5 counts them: the longest part of each row, padding
            included. When decoding, the targets.
        num_steps: steps of the run without those of its initial checkpoint; None when decoding.
        num_params, d_model: of the model.
        limit_bytes: memory that programs may use; None where the compiler knows no limit.
        flops: operations of the step's matrix products, divided by the number of devices.
        seconds: time of tracing, lowering and compiling; a cached answer keeps its own.
        fits: the compiler's verdict.
        refusal: why it does not fit, in the compiler's words.
        product_bytes: bytes of the operands and results of the matrix products.
        collectives: kind → what a device sends.
        cached: the answer was read from disk.
    """

    topology: str
    layout: Layout
    mesh: tuple[int, int, int]
    batch_size: int
    num_tokens: int
    num_steps: int | None
    num_params: int
    d_model: int
    limit_bytes: int | None
    flops: float
    seconds: float
    fits: bool
    refusal: str = ""
    peak_bytes: int | None = None
    argument_bytes: int | None = None
    temporary_bytes: int | None = None
    product_bytes: float | None = None
    collectives: Mapping[str, Collective] = field(default_factory=dict)
    cached: bool = False

    @property
    def sent_bytes(self) -> float:
        """Bytes that one device sends in one step."""
        return sum(collective.bytes for collective in self.collectives.values())


@dataclass(frozen=True)
class Work:
    """What to compile.

    Attributes:
        verb: whose step.
        run: a TrainRun, pickled by value.
        batch_size: rows of predict's batch.
    """

    verb: Verb
    run: bytes
    batch_size: int | None = None


def compile_step(work: Work, topology: Topology, layout: Layout | None) -> Compiled:
    """The compiler's answer for a layout, or for the layout of the recipe (None).

    Raises:
        UserError: the run is wrong, or the compiler refuses it for another reason than memory.
    """
    started = time.monotonic()
    run, devices, limit = _prepared(work, topology)
    import jax

    from tk_instruct.plan import flops

    if work.verb == "train":
        program = _train_step(run, devices, limit, layout)
    else:
        program = _decode(run, devices, work.batch_size, layout)
    lowered = program.traced.lower()
    total_flops = flops.matmul_flops(program.traced.jaxpr, program.while_trips)
    about: dict[str, Any] = {
        "topology": topology.name,
        "layout": program.layout,
        "mesh": tuple(program.mesh.shape.values()),
        "batch_size": program.batch_size,
        "num_tokens": program.num_tokens,
        "num_steps": program.num_steps,
        "num_params": program.num_params,
        "d_model": run.model.d_model,
        "limit_bytes": limit,
        "flops": total_flops / len(devices),
    }
    cached = _CachedAnswer(lowered, topology)
    if (found := cached.read()) is not None:
        return replace(found, **about)  # other runs can have the same program
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        first = str(error).splitlines()[0]
        if not first.startswith("RESOURCE_EXHAUSTED"):
            raise UserError(
                f"{topology.name}, {program.layout}: the compiler refuses it: {first}"
            ) from error
        found = Compiled(
            **about,
            fits=False,
            refusal=first.removeprefix("RESOURCE_EXHAUSTED: "),
            seconds=time.monotonic() - started,
        )
    else:
        memory, text = compiled.memory_analysis(), compiled.as_text()
        peak = memory.peak_memory_in_bytes
        fits = limit is None or peak <= limit
        found = Compiled(
            **about,
            fits=fits,
            refusal="" if fits else "peak above the limit",
            peak_bytes=peak,
            argument_bytes=memory.argument_size_in_bytes,
            temporary_bytes=memory.temp_size_in_bytes,
            product_bytes=hlo.product_bytes(text, program.while_trips),
            collectives=hlo.collectives(text, program.while_trips),
            seconds=time.monotonic() - started,
        )
    cached.write(found)
    return found


@lru_cache(maxsize=1)
def _prepared(
    work: Work, topology: Topology
) -> tuple["TrainRun", Sequence["jax.Device"], int | None]:
    """The run, the devices of the slice, and the memory of a device that programs may use."""
    os.environ.update(_LIBTPU_ENVIRONMENT)  # before anything imports jax
    if topology.generation is None:
        os.environ["JAX_NUM_CPU_DEVICES"] = str(topology.num_devices)
    devices = _devices_of(topology)
    return pickle.loads(work.run), devices, _memory_limit(devices)


def _devices_of(topology: Topology) -> Sequence["jax.Device"]:
    import jax

    if topology.generation is None:
        return jax.devices()[: topology.num_devices]
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if topology.generation.chip_config_name:
        options["chip_config_name"] = topology.generation.chip_config_name
    if topology.num_chips == 1:
        options["chips_per_host_bounds"] = [1, 1, 1]
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, **options
        ).devices
    except Exception as error:  # libtpu has no error class of its own
        raise UserError(
            f"--topology={topology.name} is refused by libtpu ({str(error).splitlines()[0]}); "
            "give a shape that this generation has"
        ) from error


@dataclass(frozen=True)
class _Traced:
    traced: Any
    layout: Layout
    mesh: Any
    batch_size: int
    num_tokens: int
    num_steps: int | None
    num_params: int
    while_trips: int = 1


def _train_step(
    run: "TrainRun",
    devices: Sequence["jax.Device"],
    device_bytes: int | None,
    layout: Layout | None,
) -> _Traced:
    import jax

    from tk_instruct import sharding
    from tk_instruct.program import program_of

    if layout is not None:
        fields = asdict(layout)
        model = replace(run.model, remat=fields.pop("remat"))
        run = replace(run, model=model, **fields)
    program = program_of(run, devices, device_bytes)
    rows, everywhere = sharding.batch_sharding(program.mesh), sharding.replicated(program.mesh)
    full = program.layout(program.lengths)
    arrays = full.arrays([()] * program.batch_size, full.limits)
    batch = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=rows)
        for name, array in arrays.items()
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    with sharding.use(program.mesh):
        traced = program.train_step.trace(
            program.state,
            batch,
            jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=everywhere),
            program.frozen,
        )
    _, shards, partitions = program.mesh.shape.values()
    return _Traced(
        traced,
        Layout(partitions, shards, run.model.remat, run.num_microbatches),
        program.mesh,
        program.batch_size,
        program.batch_size * max(full.limits),
        run.steps - (0 if run.prompt_length else _initial_step(run.initial_checkpoint_path)),
        _num_params((program.state.params, program.frozen)),
    )


def _initial_step(path: str | None) -> int:
    """The step in the name of an initial checkpoint of T5X or of this project; else 0."""
    match = re.search(r"(?:^|[/_])(\d+)/*$", path or "")
    return int(match[1]) if match else 0


def _decode(
    run: "TrainRun",
    devices: Sequence["jax.Device"],
    batch_size: int | None,
    layout: Layout | None,
) -> _Traced:
    """Greedy decoding of a batch as in `predict`: a loop with one round for each target."""
    import jax
    import numpy as np

    from tk_instruct import model, sharding
    from tk_instruct.inference.decoding import Greedy
    from tk_instruct.inference.generation import decode
    from tk_instruct.step import abstract_params

    partitions = layout.num_partitions if layout else run.num_partitions
    mesh = sharding.make_mesh(partitions, 1, devices)
    net = model.build(replace(run.model, scan_layers=False, remat="none"))
    params = sharding.placed(abstract_params(net), mesh)
    batch_size = batch_size or ROWS_PER_SHARD * sharding.num_row_shards(mesh)
    sharding.check_batch_size(batch_size, mesh)
    lengths = run.feature_lengths
    rows = jax.ShapeDtypeStruct(
        (batch_size, lengths["inputs"]), np.int32, sharding=sharding.batch_sharding(mesh)
    )
    function = partial(decode, Greedy(), lengths["targets"], net)
    with sharding.use(mesh):
        traced = jax.jit(function).trace(params, input_tokens=rows, segment_ids=rows)
    return _Traced(
        traced,
        Layout(mesh.shape["model"]),
        mesh,
        batch_size,
        batch_size * lengths["targets"],
        None,
        _num_params(params),
        while_trips=lengths["targets"],
    )


def _num_params(params: Any) -> int:
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _memory_limit(devices: Sequence["jax.Device"]) -> int | None:
    """The memory of a device that programs may use, in bytes, as the compiler reports it."""
    import jax
    import jax.numpy as jnp

    if devices[0].platform == "cpu":
        return None
    rows = jax.ShapeDtypeStruct(
        _TOO_LARGE, "float32", sharding=jax.sharding.SingleDeviceSharding(devices[0])
    )
    try:
        jax.jit(jnp.sort).trace(rows).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if match := re.search(r"exceeds available HBM \(([\d.]+)G\)", str(error)):
            return int(float(match[1]) * 2**30)
    return None


class _CachedAnswer:
    """The compiler's answer on disk; its name is a digest of program, slice and versions."""

    def __init__(self, lowered: Any, topology: Topology) -> None:
        import jax

        from tk_instruct.cache_folder import default_cache_dir

        key = [lowered.as_text(), topology.name, jax.__version__, _libtpu_version(), _own_version()]
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
        self.path = Path(default_cache_dir()) / "plans" / f"{digest}.json"

    def read(self) -> Compiled | None:
        from tk_instruct import schema

        try:
            return replace(schema.read(self.path, Compiled), cached=True)
        except UserError:
            return None  # absent or damaged

    def write(self, found: Compiled) -> None:
        from tk_instruct.files import write_atomically

        write_atomically(self.path, [json.dumps(asdict(found))])


def _libtpu_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("libtpu")
    except metadata.PackageNotFoundError:
        return ""


def _own_version() -> str:
    """A digest of the modules that read the compiler's answer."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(here.glob("*.py")))).hexdigest()
