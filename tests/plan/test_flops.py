"""Operations counted in a jaxpr are those of the formulas, and of XLA where it can count them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from tk_instruct import model
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import T5Config
from tk_instruct.plan.flops import matmul_flops
from tk_instruct.step import create_train_state, train_step

ROWS, INPUTS, TARGETS = 4, 16, 8
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "d_model": 32,
    "num_heads": 2,
    "head_dim": 16,
    "d_ff": 64,
    "num_encoder_layers": 3,
    "num_decoder_layers": 2,
}

# Two heads, 32 buckets, every pair of positions.
BIAS = 2 * 2 * 32 * (INPUTS**2 + TARGETS**2)


def forward_flops() -> float:
    """By hand, as multiplications and additions of every product of matrices."""
    d, joined, ff = 32, 32, 64
    encoder = 3 * ROWS * INPUTS * (2 * 4 * d * joined + 2 * 2 * INPUTS * joined + 2 * 3 * d * ff)
    self_ = 2 * 4 * d * joined + 2 * 2 * TARGETS * joined
    cross = 2 * 2 * d * joined + 2 * 2 * INPUTS * joined
    decoder = 2 * ROWS * (TARGETS * (self_ + cross + 2 * 3 * d * ff) + INPUTS * 2 * 2 * d * joined)
    logits = 2 * ROWS * TARGETS * d * 64
    return encoder + decoder + logits + BIAS


def traced(**changes: Any) -> Any:
    net = model.build(T5Config(**SIZES, **changes))
    tx = optax.sgd(0.1)
    state = jax.eval_shape(partial(create_train_state, net, tx), jax.random.key(0))
    batch = {
        "encoder_input_tokens": jnp.ones((ROWS, INPUTS), jnp.int32),
        "encoder_segment_ids": jnp.ones((ROWS, INPUTS), jnp.int32),
        "decoder_target_tokens": jnp.ones((ROWS, TARGETS), jnp.int32),
        "decoder_segment_ids": jnp.ones((ROWS, TARGETS), jnp.int32),
        "decoder_loss_weights": jnp.ones((ROWS, TARGETS)),
    }
    step = partial(train_step, model=net, tx=tx, loss=partial(cross_entropy, z_loss=1e-4))
    forward = jax.jit(lambda params: net.apply({"params": params}, batch, True, method="logits"))
    return forward.trace(state.params), jax.jit(step).trace(state, batch, jax.random.key(0))


def test_forward_pass_is_the_formula() -> None:
    forward, _ = traced()
    assert matmul_flops(forward.jaxpr) == forward_flops()


@pytest.mark.parametrize("remat", ["none", "full"])
def test_scanned_layers_count_as_often_as_they_run(remat: str) -> None:
    forward, step = traced(remat=remat)
    scanned_forward, scanned_step = traced(remat=remat, scan_layers=True)
    assert matmul_flops(scanned_forward.jaxpr) == matmul_flops(forward.jaxpr)
    assert matmul_flops(scanned_step.jaxpr) == pytest.approx(matmul_flops(step.jaxpr), rel=0.01)


def test_a_step_is_three_forward_passes() -> None:
    # But for the bias, which is no product of the inputs: its gradient is one product, not two.
    forward, step = traced()
    assert matmul_flops(step.jaxpr) == pytest.approx(3 * matmul_flops(forward.jaxpr), rel=0.03)


def test_rematerialised_products_count_again() -> None:
    _, step = traced()
    _, again = traced(remat="full")
    outside_layers = 2 * ROWS * TARGETS * 32 * 64 + BIAS
    # A layer's last product is what the next one has stored.
    last = 2 * ROWS * (3 * INPUTS + 2 * TARGETS) * 64 * 32
    more = matmul_flops(again.jaxpr) - matmul_flops(step.jaxpr)
    assert more == forward_flops() - outside_layers - last


def test_xla_counts_the_same_where_nothing_loops() -> None:
    def function(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.einsum("bij,bjk->bik", x, y) @ jnp.ones((24, 5))

    found = jax.jit(function).trace(jnp.ones((3, 7, 11)), jnp.ones((3, 11, 24)))
    cost = found.lower().compile().cost_analysis()
    assert matmul_flops(found.jaxpr) == pytest.approx(cost["flops"], rel=0.02)


def test_loops_and_branches() -> None:
    def function(x: jax.Array) -> jax.Array:
        x = jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, x)
        return jax.lax.cond(x[0, 0] > 0, lambda x: x, lambda x: x @ x @ x, x)

    jaxpr = jax.jit(function).trace(jnp.ones((10, 10))).jaxpr
    assert matmul_flops(jaxpr, while_trips=5) == (5 + 2) * 2 * 10**3
