import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh, PartitionSpec

from tk_instruct import optim
from tk_instruct.errors import UserError
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import T5Config
from tk_instruct.model.t5 import T5
from tk_instruct.sharding import (
    batch_sharding,
    check_batch_size,
    check_program,
    fsdp_shards_for_memory,
    local_rows,
    make_mesh,
    most_fsdp_shards,
    num_bytes,
    placed,
    replicated,
    shard_batch,
    use,
)
from tk_instruct.step import abstract_state, create_train_state, train_step

MODEL = T5(
    T5Config(
        vocab_size=256,
        d_model=128,
        num_heads=8,
        head_dim=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_ff=128,
        dropout_rate=0.1,
    )
)
EIGHT_DEVICES = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    # Without LLVM's optimizations, which take most of the time here and change nothing compared.
    "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
}


# Data × fsdp × model shards: one axis alone, each, and all together; then the other divisions.
FEW_MESHES = [(8, 1, 1), (1, 8, 1), (1, 1, 8), (2, 2, 2)]
OTHER_MESHES = [(4, 2, 1), (2, 4, 1), (4, 1, 2), (1, 4, 2), (2, 1, 4), (1, 2, 4)]


def on_eight_devices(call: str) -> Any:
    """A call of a function of this module in a process with eight CPU devices; its result."""
    code = (
        "import importlib.util, json\n"
        f"spec = importlib.util.spec_from_file_location('test_sharding', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        f"print(json.dumps(module.{call}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=EIGHT_DEVICES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def state_shardings(model: T5, tx: optax.GradientTransformation, mesh: Mesh) -> Any:
    return jax.tree.map(lambda array: array.sharding, placed(abstract_state(model, tx), mesh)[0])


def compare(meshes: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    """One step down the gradient on each mesh; largest differences from a single device."""
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, 3, (8, 12), np.int32))[:, ::-1]
    batch = {
        "encoder_input_tokens": rng.integers(2, 256, (8, 12), np.int32),
        "encoder_segment_ids": ids,
        "decoder_target_tokens": rng.integers(2, 256, (8, 12), np.int32),
        "decoder_segment_ids": ids,
        "decoder_loss_weights": (ids > 0).astype(np.float32),
    }
    tx = optax.sgd(1.0)  # so that parameters differ as gradients do
    loss = partial(cross_entropy, z_loss=1e-4)
    results: dict[str, Any] = {}
    start = jax.jit(partial(create_train_state, MODEL, tx))(jax.random.key(0))
    for data, fsdp, partitions in [(1, 1, 1), *meshes]:
        mesh = make_mesh(partitions, fsdp, jax.devices()[: data * fsdp * partitions])
        shardings = state_shardings(MODEL, tx, mesh)
        step = jax.jit(
            partial(train_step, model=MODEL, tx=tx, loss=loss, num_microbatches=1),
            out_shardings=(shardings, replicated(mesh)),
        )
        with use(mesh):
            state, metrics = step(
                jax.device_put(start, shardings), shard_batch(batch, mesh), jax.random.key(1)
            )
        embedding = state.params["token_embedder"]["embedding"]
        mine = jax.device_get((metrics["loss"].value(), metrics["gradient_norm"].value(), state))
        expected = results.setdefault("unsharded", mine)
        if mesh.size > 1:
            differences = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), mine, expected)
            results[f"{data} {fsdp} {partitions}"] = {
                "loss": differences[0] / float(expected[0]),
                "gradient_norm": differences[1] / float(expected[1]),
                "gradients": max(jax.tree.leaves(differences[2])),
                "embedding_on_a_device": embedding.addressable_shards[0].data.shape,
            }
    results.pop("unsharded")
    return results


@pytest.mark.parametrize(
    "meshes",
    [FEW_MESHES, pytest.param(OTHER_MESHES, marks=pytest.mark.slow)],
    ids=["few", "others"],
)
def test_every_mesh_gives_the_unsharded_loss_and_gradients(
    meshes: list[tuple[int, int, int]],
) -> None:
    results = on_eight_devices(f"compare({meshes})")
    assert len(results) == len(meshes)
    for name, differences in results.items():
        _, fsdp, partitions = map(int, name.split())
        on_a_device = differences.pop("embedding_on_a_device")
        assert on_a_device == [256 // partitions, 128 // fsdp], name
        for what, difference in differences.items():
            assert difference < 2e-6, (name, what, difference)


def create_in_place() -> bool:
    tx = optim.adafactor(0.01)
    create, key = partial(create_train_state, MODEL, tx), jax.random.key(0)
    shardings = state_shardings(MODEL, tx, make_mesh(2))
    state = jax.jit(create, out_shardings=shardings)(key)
    jax.tree.map(np.testing.assert_array_equal, state, jax.jit(create)(key))
    return jax.tree.map(lambda array: array.sharding, state) == shardings


def test_a_state_is_created_in_place() -> None:
    assert on_eight_devices("create_in_place()")


def errors() -> dict[str, str]:
    messages = {}
    mesh, halves = make_mesh(1), make_mesh(4)
    few_heads = T5(T5Config(**{**vars(MODEL.config), "num_heads": 6}))
    for name, fail in {
        "batch": lambda: check_batch_size(100, mesh),
        "empty": lambda: check_batch_size(0, mesh),
        "partitions": lambda: make_mesh(3),
        "no partitions": lambda: make_mesh(0),
        "fsdp": lambda: make_mesh(2, 3),
        "microbatches": lambda: check_batch_size(24, mesh, num_microbatches=2),
        "heads": lambda: state_shardings(few_heads, optim.adafactor(0.1), halves),
    }.items():
        with pytest.raises(UserError) as error:
            fail()
        messages[name] = str(error.value)
    check_batch_size(104, mesh)
    check_batch_size(32, mesh, num_microbatches=2)
    check_batch_size(6, halves)
    return messages


def test_errors_say_what_would_work() -> None:
    assert on_eight_devices("errors()") == {
        "batch": "batch_size=100 does not divide over 8 data shards; try 104",
        "empty": "batch_size=0 does not divide over 8 data shards; try 8",
        "partitions": "num_partitions=3 does not divide 8 devices; try 2",
        "no partitions": "num_partitions=0 does not divide 8 devices; try 1",
        "fsdp": "num_fsdp_shards=3 does not divide 4 devices; try 2",
        "microbatches": "batch_size=24 does not divide over 8 data shards × 2 microbatches; try 32",
        "heads": "heads=6 of decoder/relpos_bias/rel_embedding does not divide over 4 model "
        "shards; try 2",
    }


def test_a_program_that_needs_more_than_there_is_does_not_run() -> None:
    def outer_square(x: jax.Array) -> jax.Array:  # of more than any machine has, sorted
        return jnp.sort(x[:, None] * x, axis=0).sum()

    def compiled(size: int) -> jax.stages.Compiled:
        return jax.jit(outer_square).lower(jax.ShapeDtypeStruct((size,), "float32")).compile()

    check_program(compiled(1000), "sorting", "sort less")
    with pytest.raises(UserError, match=r"^sorting take [\d,]+\.0 GB and .* has .* GB; sort less$"):
        check_program(compiled(10**6), "sorting", "sort less")


def test_a_program_that_is_checked_is_compiled_once(caplog: pytest.LogCaptureFixture) -> None:
    @jax.jit
    def doubled_once(x: jax.Array) -> jax.Array:
        return 2 * x

    array = jnp.ones(7)
    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        check_program(doubled_once.lower(array).compile(), "doubling", "double less")
        doubled_once(array)
    said = [record.getMessage() for record in caplog.records]
    assert sum(text.startswith("Compiling jit(doubled_once)") for text in said) == 1


def test_parameters_and_slots_follow_the_table() -> None:
    mesh = make_mesh("auto")
    assert dict(mesh.shape) == {"data": jax.device_count(), "fsdp": 1, "model": 1}
    shardings = state_shardings(MODEL, optim.adamw(0.1), mesh)
    kernel = ("encoder", "layers_0", "mlp", "wo", "kernel")
    trees = [shardings.params, shardings.opt_state[1].mu, shardings.opt_state[1].nu]
    for tree in trees:
        for key in kernel:
            tree = tree[key]
        assert tree.spec == PartitionSpec("model", "fsdp")
    assert shardings.opt_state[1].count.spec == PartitionSpec()
    assert batch_sharding(mesh).spec == PartitionSpec(("data", "fsdp"))


def shards_by_memory() -> list[int]:
    """For adamw: parameters, gradients and two moments, 4 bytes each."""
    net, tx = T5(replace(MODEL.config, d_model=512)), optim.adamw(0.1)
    state, _ = abstract_state(net, tx)
    size = num_bytes((state, state.params))
    assert size == 4 * sum(leaf.size * 4 for leaf in jax.tree.leaves(state.params)) + 2 * 4
    return [
        *(fsdp_shards_for_memory(size, 512, 1, 8, memory) for memory in (3 * size, size)),
        fsdp_shards_for_memory(size, 512, 4, 8, size // 10),
        fsdp_shards_for_memory(size, 512, "auto", 8),
    ]


def test_parameters_are_spread_where_memory_needs_it() -> None:
    # Over slices of 128; no more than there are groups of devices; and what a CPU has it does not
    # tell.
    assert on_eight_devices("shards_by_memory()") == [1, 4, 2, 1]


def test_slices_are_as_wide_as_a_tpus_registers() -> None:
    assert [most_fsdp_shards(4096, groups) for groups in (256, 48, 8, 7)] == [32, 24, 8, 7]
    assert most_fsdp_shards(64, 8) == 1


def test_an_unknown_logical_axis_is_an_error() -> None:
    class Odd(T5):
        def setup(self) -> None:
            super().setup()
            init = nn.with_logical_partitioning(nn.initializers.ones, ("flavour",))
            self.odd = self.param("odd", init, (3,))

    with pytest.raises(KeyError, match="flavour"):
        state_shardings(Odd(MODEL.config), optim.adamw(0.1), make_mesh(1))


def test_one_process_has_all_rows() -> None:
    assert local_rows(make_mesh(1), 6) == [0, 1, 2, 3, 4, 5]


def test_a_batch_keeps_its_values() -> None:
    batch = {"encoder_input_tokens": np.arange(24, dtype=np.int32).reshape(8, 3)}
    sharded = shard_batch(batch, make_mesh(1))
    np.testing.assert_array_equal(sharded["encoder_input_tokens"], batch["encoder_input_tokens"])
    assert sharded["encoder_input_tokens"].sharding == batch_sharding(make_mesh(1))
