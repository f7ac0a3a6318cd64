import dataclasses
import json
import os
import subprocess
import sys
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tk_instruct import optim
from tk_instruct.errors import UserError
from tk_instruct.losses import Mean, cross_entropy
from tk_instruct.model import build
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.model.layers import shift_right_within_segments
from tk_instruct.step import TrainState, create_train_state, eval_step, train_step

SIZES: dict[str, Any] = {"vocab_size": 32, "d_model": 16, "num_heads": 2, "head_dim": 8, "d_ff": 32}
T5_CONFIG = T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=1)
T5 = build(T5_CONFIG)
DECODER = build(DecoderConfig(**SIZES, num_layers=1))
SGD = optax.sgd(1.0)
MAX_GRADIENT_NORM = 0.01
CLIPPED_SGD = optax.chain(optax.clip_by_global_norm(MAX_GRADIENT_NORM), SGD)
ADAMW = optim.adamw(optim.constant(0.01, warmup_steps=1))
LOSS = partial(cross_entropy, z_loss=1e-4)
# Without LLVM's optimizations, which take half of the time here and change nothing compared.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def make_batch() -> dict[str, Any]:
    """Four packed rows with 20 targets."""
    rng = np.random.default_rng(0)
    decoder_segment_ids = np.array([[1, 1, 1, 2, 2, 0]] * 4, np.int32)
    return {
        "encoder_input_tokens": rng.integers(2, 32, (4, 8), np.int32),
        "encoder_segment_ids": np.array([[1, 1, 1, 2, 2, 2, 2, 0]] * 4, np.int32),
        "decoder_target_tokens": rng.integers(2, 32, (4, 6), np.int32),
        "decoder_segment_ids": decoder_segment_ids,
        "decoder_loss_weights": (decoder_segment_ids > 0).astype(np.float32),
    }


def make_uneven_batch() -> dict[str, Any]:
    """Eight rows with two segments and 6, 0, 5, … 3 targets, for either architecture."""
    rng = np.random.default_rng(1)
    num_targets = np.array([6, 0, 5, 1, 2, 6, 0, 3])[:, None]
    places = np.arange(10)[None]
    encoder_segment_ids = np.repeat([[1, 1, 1, 1, 2, 2, 2, 2, 2, 0]], 8, axis=0).astype(np.int32)
    # The decoder's rows: four inputs, some targets, three inputs and one target more, padding.
    first = places < 4 + num_targets
    second = ~first & (places < 8 + num_targets) & (num_targets > 0)
    segment_ids = np.where(first, 1, np.where(second, 2, 0)).astype(np.int32)
    is_input = (places < 4) | (second & (places < 7 + num_targets))
    tokens = rng.integers(2, 32, (8, 10), np.int32)
    return {
        "encoder_input_tokens": rng.integers(2, 32, (8, 10), np.int32) * (encoder_segment_ids > 0),
        "encoder_segment_ids": encoder_segment_ids,
        "decoder_target_tokens": tokens * (segment_ids > 0),
        "decoder_segment_ids": segment_ids,
        "decoder_causal_attention": is_input.astype(np.int32),
        "decoder_loss_weights": (~is_input & (segment_ids > 0)).astype(np.float32),
    }


def unpacked(batch: dict[str, Any]) -> dict[str, Any]:
    """The same examples, one a row."""
    rows: dict[str, list[Any]] = {name: [] for name in batch}
    for row in range(len(batch["decoder_segment_ids"])):
        for segment in (1, 2):
            for name, array in batch.items():
                which = batch[f"{name.split('_')[0]}_segment_ids"][row] == segment
                values = array[row][which]
                if name.endswith("segment_ids"):
                    values = np.ones_like(values)
                rows[name].append(np.pad(values, (0, array.shape[1] - len(values))))
    return {name: np.stack(values) for name, values in rows.items()}


@cache
def random_params(model: Any) -> Any:
    return jit(partial(create_train_state, model, SGD))(jax.random.key(0)).params


@cache
def start(model: Any = T5, tx: Any = SGD, num_microbatches: int = 1) -> tuple[TrainState, Any]:
    """Step 0, and the jitted training step."""
    params = random_params(model)
    state = TrainState(step=jnp.int32(0), params=params, opt_state=tx.init(params))
    step = partial(train_step, model=model, tx=tx, loss=LOSS, num_microbatches=num_microbatches)
    return state, jit(step)


def padded(batch: dict[str, Any]) -> dict[str, Any]:
    """With as many rows of padding as it has rows."""
    return {name: np.pad(x, ((0, len(x)), (0, 0))) for name, x in batch.items()}


def repeated(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: np.repeat(x, 2, axis=0) for name, x in batch.items()}


def distance(one: TrainState, other: TrainState) -> Any:
    """Of their parameters."""
    return optax.global_norm(jax.tree.map(jnp.subtract, one.params, other.params))


def assert_close(actual: Any, expected: Any, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), actual, expected)


def test_overfits_one_batch() -> None:
    state, step = start(tx=ADAMW)
    batch, key = make_batch(), jax.random.key(1)
    _, first = step(state, batch, key)
    for _ in range(150):
        state, metrics = step(state, batch, key)
        assert np.isfinite(metrics["gradient_norm"].value())
    assert state.step == 150
    assert first["loss"].value() > 2
    assert metrics["loss"].value() < 0.1
    assert metrics["accuracy"].value() == 1
    assert metrics["accuracy"].weight == 20
    evaluated = jit(partial(eval_step, model=T5, loss=LOSS))(state.params, batch)
    assert evaluated["loss"].value() < 0.1
    assert sorted(evaluated) == ["accuracy", "loss"]


def test_every_parameter_has_a_gradient() -> None:
    state, step = start()
    after, metrics = step(state, repeated(make_uneven_batch()), jax.random.key(1))
    moved = jax.tree.map(
        lambda old, new: float(jnp.abs(old - new).max()), state.params, after.params
    )
    assert all(np.isfinite(x) and x > 0 for x in jax.tree.leaves(moved)), moved
    # With a step of 1 the gradient is the difference.
    np.testing.assert_allclose(metrics["gradient_norm"].value(), distance(after, state), rtol=1e-4)


@pytest.mark.parametrize("model", [T5, DECODER], ids=["T5", "Decoder"])
def test_the_gradient_is_that_of_the_mean_over_targets(model: Any) -> None:
    """So padding, packing, and repeating the whole batch change nothing."""
    state, step = start(model)
    batch, key = make_uneven_batch(), jax.random.key(1)
    expected, metrics = step(state, padded(batch), key)
    assert metrics["loss"].weight == batch["decoder_loss_weights"].sum() > 20
    apart, apart_metrics = step(state, unpacked(batch), key)
    assert_close(apart_metrics, metrics)
    twice, _ = step(state, repeated(batch), key)
    for other in (apart, twice):
        assert_close(other.params, expected.params)


def test_a_batch_of_padding_changes_no_parameter() -> None:
    state, step = start(tx=ADAMW)
    state = dataclasses.replace(state, step=jnp.int32(5))
    nothing = {name: np.zeros_like(x) for name, x in make_batch().items()}
    after, _ = step(state, nothing, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, state.params, after.params)


@pytest.mark.parametrize(
    ("model", "tx", "num_microbatches"),
    [(T5, SGD, 2), (T5, CLIPPED_SGD, 4), (DECODER, SGD, 8)],
    ids=["T5-2", "T5-4-clipped", "Decoder-8"],
)
def test_microbatches_make_the_update_of_the_whole_batch(
    model: Any, tx: Any, num_microbatches: int
) -> None:
    batch, key = padded(make_uneven_batch()), jax.random.key(1)
    state, step = start(model)
    whole, metrics = step(state, batch, key)
    same_state, step_in_parts = start(model, tx, num_microbatches)
    found, found_metrics = step_in_parts(same_state, batch, key)
    assert_close(found_metrics, metrics, rtol=1e-5)
    norm = metrics["gradient_norm"].value()
    assert norm > 2 * MAX_GRADIENT_NORM
    share = MAX_GRADIENT_NORM / norm if tx is CLIPPED_SGD else 1.0
    expected = jax.tree.map(lambda new, old: old + share * (new - old), whole.params, state.params)
    assert_close(found.params, expected)


@pytest.mark.parametrize("num_microbatches", [3, 0])
def test_microbatches_must_be_of_equally_many_rows(num_microbatches: int) -> None:
    state, step = start(num_microbatches=num_microbatches)
    with pytest.raises(UserError, match=f"num_microbatches={num_microbatches} does not divide a"):
        step(state, make_batch(), jax.random.key(1))


def microbatches_on_eight_devices() -> dict[str, Any]:
    """What comes out, and how the devices communicate."""
    from tk_instruct.sharding import make_mesh, shard_batch

    rows = shard_batch(repeated(make_uneven_batch()), make_mesh(1))
    state, step = start(num_microbatches=2)
    compiled = step.lower(state, rows, jax.random.key(1)).compile()
    _, metrics = compiled(state, rows, jax.random.key(1))
    kinds = ("all-gather", "all-to-all", "collective-permute", "all-reduce")
    return {
        "metrics": {name: float(mean.value()) for name, mean in metrics.items()},
        "communication": [kind for kind in kinds if f"{kind}(" in compiled.as_text()],
    }


def test_microbatches_move_no_rows_between_devices() -> None:
    code = (
        "import importlib.util, json\n"
        f"spec = importlib.util.spec_from_file_location('test_step', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(json.dumps(module.microbatches_on_eight_devices()))\n"
    )
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["communication"] == ["all-reduce"]  # of the gradients
    state, step = start()
    _, metrics = step(state, repeated(make_uneven_batch()), jax.random.key(1))
    expected = {name: float(mean.value()) for name, mean in metrics.items()}
    assert found["metrics"] == pytest.approx(expected, rel=1e-5)


def test_schedules_follow_the_step_that_a_run_starts_at() -> None:
    """ADAMW's rate is 0 in step 0 and 0.01 from then on."""
    _, step = start(tx=ADAMW)
    params = random_params(T5)
    for first, moves in ((0, False), (1_100_000, True)):
        state = TrainState(step=jnp.int32(first), params=params, opt_state=ADAMW.init(params))
        after, _ = step(state, make_batch(), jax.random.key(1))
        assert after.step == first + 1
        assert moves == (distance(after, state) > 0)


def test_dropout_depends_on_seed_step_and_microbatch_only() -> None:
    totals: list[float] = []

    def loss(*args: Any) -> Mean:
        found = LOSS(*args)
        jax.debug.callback(lambda total: totals.append(float(total)), found.total)
        return found

    model = build(dataclasses.replace(T5_CONFIG, dropout_rate=0.3))
    step = jit(partial(train_step, model=model, tx=SGD, loss=loss, num_microbatches=4))
    batch = {name: np.repeat(x[:1], 4, axis=0) for name, x in make_batch().items()}
    state = start()[0]
    later = dataclasses.replace(state, step=jnp.int32(7))

    def losses(state: TrainState, seed: int) -> frozenset[float]:
        """Of each microbatch; all four have the same row."""
        totals.clear()
        jax.block_until_ready(step(state, batch, jax.random.key(seed)))
        jax.effects_barrier()
        return frozenset(totals)

    found = [losses(state, 1), losses(state, 2), losses(later, 1)]
    assert len(frozenset.union(*found)) == 12
    assert losses(state, 1) == found[0]


def test_shift_right_within_segments() -> None:
    targets = jnp.array([[5, 6, 1, 7, 1, 0, 0], [9, 8, 7, 6, 5, 4, 1]])
    segment_ids = jnp.array([[1, 1, 1, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
    expected = [[0, 5, 6, 0, 7, 0, 0], [0, 9, 8, 7, 6, 5, 4]]
    assert shift_right_within_segments(targets, segment_ids).tolist() == expected


@pytest.mark.parametrize("tx", [optim.adafactor(1e-3), optim.adamw(1e-3)])
def test_state_can_be_described_without_being_made(tx: Any) -> None:
    state = jax.eval_shape(partial(create_train_state, T5, tx), jax.random.key(0))
    assert (state.step.shape, state.step.dtype) == ((), jnp.int32)
    embedding = state.params["token_embedder"]["embedding"]
    assert (embedding.shape, embedding.dtype) == ((32, 16), jnp.float32)
