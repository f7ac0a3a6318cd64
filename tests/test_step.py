import dataclasses
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tk_instruct import optim
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import T5Config
from tk_instruct.model.t5 import T5
from tk_instruct.step import (
    TrainState,
    create_train_state,
    eval_step,
    shift_right_within_segments,
    train_step,
)

SIZES: dict[str, Any] = {
    "vocab_size": 32,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "d_ff": 32,
}
MODEL = T5(T5Config(**SIZES))
SGD = optax.sgd(1.0)
ADAMW = optim.adamw(0.01)
LOSS = partial(cross_entropy, z_loss=1e-4)


def make_batch() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "encoder_input_tokens": rng.integers(2, 32, (4, 8), np.int32),
        "encoder_segment_ids": np.array([[1, 1, 1, 2, 2, 2, 2, 0]] * 4, np.int32),
        "decoder_target_tokens": rng.integers(2, 32, (4, 6), np.int32),
        "decoder_segment_ids": np.array([[1, 1, 1, 2, 2, 0]] * 4, np.int32),
    }


@cache
def start(tx: Any = SGD) -> tuple[TrainState, Any]:
    """Step 0, and the jitted training step."""
    state = jax.jit(partial(create_train_state, MODEL, tx))(jax.random.key(0))
    return state, jax.jit(partial(train_step, model=MODEL, tx=tx, loss=LOSS))


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
    evaluated = jax.jit(partial(eval_step, model=MODEL, loss=LOSS))(state.params, batch)
    assert evaluated["loss"].value() < 0.1
    assert sorted(evaluated) == ["accuracy", "loss"]


def test_every_parameter_has_a_gradient() -> None:
    state, step = start()
    after, metrics = step(state, make_batch(), jax.random.key(1))
    moved = jax.tree.map(
        lambda old, new: float(jnp.abs(old - new).max()), state.params, after.params
    )
    assert all(np.isfinite(x) and x > 0 for x in jax.tree.leaves(moved)), moved
    # With a step of 1 the gradient is the difference.
    gradient = jax.tree.map(jnp.subtract, state.params, after.params)
    np.testing.assert_allclose(
        metrics["gradient_norm"].value(), optax.global_norm(gradient), rtol=1e-4
    )


def test_the_gradient_is_that_of_the_mean_over_tokens() -> None:
    """So a batch repeated is the same batch, and padding rows change nothing."""
    state, step = start()
    batch, key = make_batch(), jax.random.key(1)
    once, _ = step(state, batch, key)
    twice, _ = step(state, {name: np.repeat(x, 2, axis=0) for name, x in batch.items()}, key)
    padded, metrics = step(
        state, {name: np.pad(x, ((0, 4), (0, 0))) for name, x in batch.items()}, key
    )
    assert metrics["loss"].weight == 20
    for other in (twice, padded):
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), once.params, other.params
        )


def test_a_batch_of_padding_changes_no_parameter() -> None:
    state, step = start(tx=ADAMW)
    nothing = {name: np.zeros_like(x) for name, x in make_batch().items()}
    after, _ = step(state, nothing, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, state.params, after.params)


def test_dropout_depends_on_seed_and_step_only() -> None:
    model = T5(T5Config(**SIZES, dropout_rate=0.3))
    state, batch = start()[0], make_batch()
    step = jax.jit(partial(train_step, model=model, tx=SGD, loss=LOSS))

    def loss(state: TrainState, seed: int) -> float:
        return float(step(state, batch, jax.random.key(seed))[1]["loss"].total)

    later = dataclasses.replace(state, step=jnp.int32(7))
    assert loss(state, 1) == loss(state, 1)
    assert len({loss(state, 1), loss(state, 2), loss(later, 1)}) == 3


def test_shift_right_within_segments() -> None:
    targets = jnp.array([[5, 6, 1, 7, 1, 0, 0], [9, 8, 7, 6, 5, 4, 1]])
    segment_ids = jnp.array([[1, 1, 1, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
    expected = [[0, 5, 6, 0, 7, 0, 0], [0, 9, 8, 7, 6, 5, 4]]
    assert shift_right_within_segments(targets, segment_ids).tolist() == expected


@pytest.mark.parametrize("tx", [optim.adafactor(1e-3), optim.adamw(1e-3)])
def test_state_can_be_described_without_being_made(tx: Any) -> None:
    state = jax.eval_shape(partial(create_train_state, MODEL, tx), jax.random.key(0))
    assert (state.step.shape, state.step.dtype) == ((), jnp.int32)
    embedding = state.params["token_embedder"]["embedding"]
    assert (embedding.shape, embedding.dtype) == ((32, 16), jnp.float32)
