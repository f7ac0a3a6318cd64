import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from tk_instruct import optim
from tk_instruct.errors import UserError

GOLDENS = Path(__file__).parent / "goldens"
SHAPES = {
    "token_embedder/embedding": (128, 130),
    "encoder/encoder/mlp/wi_0/kernel": (128, 2, 140),
    "encoder/encoder/pre_mlp_layer_norm/scale": (6, 2),
    "encoder/encoder/relpos_bias/rel_embedding": (4, 2, 32),
    "decoder/layers_0/mlp/wo/kernel": (127, 200),
    "decoder/decoder_norm/scale": (5,),
}


def draw(seed: int, size: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    flat = {
        name: (size * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    flat["decoder/decoder_norm/scale"] *= 1e-6  # far below the least parameter scale, 1e-3
    return unflatten_dict(flat, sep="/")


def run(tx: Any, gradients: list[Any], params: Any, first_step: int = 0) -> tuple[Any, Any]:
    """Parameters and optimizer state after an update with each of the gradients."""

    @jax.jit
    def update(gradients: Any, state: Any, params: Any, step: Any) -> tuple[Any, Any]:
        updates, state = optim.as_optax(tx).update(gradients, state, params, step=step)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for step, gradient in enumerate(gradients, start=first_step):
        params, state = update(gradient, state, params, step)
    return params, state


def assert_close(actual: Any, expected: Any, rtol: float, atol: float = 0.0) -> None:
    actual, expected = (flatten_dict(tree, sep="/") for tree in (actual, expected))
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=rtol, atol=atol, err_msg=name)


def slow_adafactor(param: np.ndarray, gradients: list[np.ndarray], rate: float) -> np.ndarray:
    """arXiv:1804.04235, algorithms 4 and 5, for one matrix or vector, in float64."""
    param = param.astype(np.float64)
    rows: Any = 0.0
    columns: Any = 0.0
    whole: Any = 0.0
    for t, gradient in enumerate(gradients):
        keep = 1 - (t + 1) ** -0.8
        square = gradient.astype(np.float64) ** 2 + 1e-30
        if param.ndim == 2 and min(param.shape) >= 128:
            rows = keep * rows + (1 - keep) * square.mean(axis=1)
            columns = keep * columns + (1 - keep) * square.mean(axis=0)
            second_moment = np.outer(rows, columns) / rows.mean()
        else:
            whole = keep * whole + (1 - keep) * square
            second_moment = whole
        step = gradient / np.sqrt(second_moment)
        step /= max(1.0, np.sqrt((step**2).mean()))
        param = param - rate * max(1e-3, np.sqrt((param**2).mean())) * step
    return param


def test_adafactor_is_that_of_the_paper_in_each_layer() -> None:
    params = draw(0)
    params["encoder"]["encoder"]["mlp"]["wi_0"]["kernel"][:, 1] *= 10
    gradients = [draw(step, size=10.0**step) for step in (1, 2, 3)]
    expected = {}
    for name, param in flatten_dict(params, sep="/").items():
        ours = [flatten_dict(gradient, sep="/")[name] for gradient in gradients]
        if name.startswith("encoder/encoder/"):
            expected[name] = np.stack(
                [
                    slow_adafactor(param[:, i], [gradient[:, i] for gradient in ours], 0.01)
                    for i in range(2)
                ],
                axis=1,
            )
        else:
            expected[name] = slow_adafactor(param, ours, 0.01)
    found, _ = run(optim.adafactor(0.01), gradients, params)
    assert_close(found, unflatten_dict(expected, sep="/"), rtol=1e-5, atol=2e-7)


def test_adafactor_is_t5x_s() -> None:
    """Twenty steps of upstream T5X from step 1,000 on, with its schedule and its clipping."""
    path = GOLDENS / "make_adafactor_goldens.py"
    spec = importlib.util.spec_from_file_location("make_adafactor_goldens", path)
    assert spec is not None
    assert spec.loader is not None
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)

    def tree(leaf: Callable[[str], Any]) -> Any:
        return unflatten_dict({name: leaf(name) for name in golden.SHAPES}, sep="/")

    # T5X multiplies its base rate by 1/sqrt(warmup_steps) at the peak.
    rate = optim.inverse_square_root(1010**-0.5, warmup_steps=1010)
    params, _ = run(
        optim.adafactor(rate, max_gradient_norm=golden.MAX_GRADIENT_NORM),
        [tree(lambda name, i=i: golden.gradient(name, i)) for i in range(golden.STEPS)],
        tree(golden.parameter),
        first_step=golden.INITIAL_CHECKPOINT_STEP,
    )
    with np.load(GOLDENS / "adafactor.npz") as expected:
        assert set(expected) == set(golden.SHAPES)
        for name, param in flatten_dict(params, sep="/").items():
            kept = np.ravel(param)[:: golden.EVERY]
            np.testing.assert_allclose(kept, expected[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_adafactor_is_optax_s_where_nothing_is_stacked() -> None:
    theirs = optax.adafactor(0.01, min_dim_size_to_factor=128, decay_rate=0.7)
    params, *gradients = (
        {name: tree[name] for name in ("token_embedder", "decoder")} for tree in map(draw, range(4))
    )
    found, _ = run(optim.adafactor(0.01, decay_rate=0.7), gradients, params)
    expected, _ = run(theirs, gradients, params)
    assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_adafactor_keeps_a_row_and_a_column_of_a_matrix() -> None:
    params = {"encoder": {"encoder": {"kernel": jnp.zeros((256, 3, 512), jnp.bfloat16)}}}
    state = optim.adafactor(0.01).init(params)
    moments = jax.tree.leaves(state)[1:]  # the first is the count
    assert sum(leaf.size for leaf in moments) == 3 * (256 + 512) + 1
    assert {leaf.dtype for leaf in moments} == {jnp.dtype(jnp.float32)}


def test_adafactor_counts_its_own_updates() -> None:
    """As T5X with step_offset = the step of the checkpoint that a run starts from."""
    gradients = [draw(step) for step in (1, 2, 3)]
    tx = optim.adafactor(0.01)
    early, _ = run(tx, gradients, draw(0))
    late, _ = run(tx, gradients, draw(0), first_step=1_100_000)
    jax.tree.map(np.testing.assert_array_equal, early, late)


def test_adamw_decays_matrices_and_not_scales() -> None:
    params = jax.tree.map(np.ones_like, draw(0))
    nothing = jax.tree.map(np.zeros_like, params)
    after, _ = run(optim.adamw(0.1, weight_decay=0.5), [nothing], params)
    for name, param in flatten_dict(after, sep="/").items():
        np.testing.assert_allclose(param, 1.0 if name.endswith("scale") else 0.95, rtol=1e-6)


def test_adamw_is_that_of_the_paper() -> None:
    """arXiv:1711.05101, algorithm 2, in float64; the schedule follows the run's step."""
    params, gradients = draw(0), [draw(step) for step in (1, 2, 3)]
    rate = optim.constant(0.1, warmup_steps=10)
    tx = optim.adamw(rate, b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.2)
    found, _ = run(tx, gradients, params, first_step=4)

    def slow(name: str, param: Any) -> Any:
        param, m, v = param.astype(np.float64), 0.0, 0.0
        for t, tree in enumerate(gradients, start=1):
            gradient = flatten_dict(tree, sep="/")[name].astype(np.float64)
            m = 0.8 * m + 0.2 * gradient
            v = 0.9 * v + 0.1 * gradient**2
            step = (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-3)
            decay = 0.0 if name.endswith("scale") else 0.2
            param = param - 0.1 * (3 + t) / 10 * (step + decay * param)
        return param

    expected = {name: slow(name, param) for name, param in flatten_dict(params, sep="/").items()}
    assert_close(found, unflatten_dict(expected, sep="/"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [optim.adafactor, optim.adamw])
def test_gradients_are_clipped_to_a_norm_over_all_parameters(make: Any) -> None:
    params, small, large = draw(0), draw(1, size=1e-3), draw(2)
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(large)))
    scaled = jax.tree.map(lambda leaf: leaf * np.float32(2 / norm), large)
    found, state = run(make(0.01, max_gradient_norm=2.0), [small, large], params)
    expected, unclipped = run(make(0.01), [small, scaled], params)
    assert_close(found, expected, rtol=1e-5, atol=1e-7)
    # A run can be continued with clipping switched on or off.
    assert jax.tree.structure(state) == jax.tree.structure(unclipped)


def test_settings_that_train_nothing_are_refused() -> None:
    with pytest.raises(UserError, match=r"max_gradient_norm=0 must be in \(0, inf\); try"):
        optim.adafactor(0.01, max_gradient_norm=0)
    with pytest.raises(UserError, match=r"decay_steps=0 must be a whole number ≥ 1"):
        optim.linear_warmup_decay(0.01, warmup_steps=10, decay_steps=0)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (optim.constant(0.5), {0: 0.5, 1: 0.5, 1000: 0.5}),
        (optim.constant(0.5, warmup_steps=10), {0: 0.0, 5: 0.25, 10: 0.5, 1000: 0.5}),
        (
            optim.constant(0.5, warmup_steps=10, step_offset=1000),
            {0: 0.0, 1000: 0.0, 1005: 0.25, 1010: 0.5},
        ),
        (
            optim.inverse_square_root(0.5, warmup_steps=100),
            {0: 0.0, 50: 0.25, 100: 0.5, 400: 0.25, 10_000: 0.05},
        ),
        (
            optim.inverse_square_root(0.5, warmup_steps=10, flat_steps=100, step_offset=1),
            {1: 0.0, 6: 0.25, 11: 0.5, 101: 0.5, 401: 0.25},
        ),
        (optim.inverse_square_root(0.5, warmup_steps=0), {0: 0.5, 1: 0.5, 4: 0.25}),
        (
            optim.linear_warmup_decay(0.5, warmup_steps=10, decay_steps=40),
            {0: 0.0, 5: 0.25, 10: 0.5, 30: 0.25, 50: 0.0, 60: 0.0},
        ),
        (
            optim.linear_warmup_decay(0.5, warmup_steps=0, decay_steps=10, step_offset=2),
            {0: 0.5, 2: 0.5, 7: 0.25, 12: 0.0},
        ),
    ],
)
def test_schedules(schedule: optim.Schedule, expected: dict[int, float]) -> None:
    jitted = jax.jit(schedule)
    for step, rate in expected.items():
        assert float(jitted(jnp.int32(step))) == pytest.approx(rate, rel=1e-6), step


def test_schedules_are_t5x_s() -> None:
    """The factors of t5x.utils.create_learning_rate_scheduler, which returns at least 1e-8."""
    base, warmup, slope = 0.7, 50, 1 / 400
    pairs: list[tuple[optim.Schedule, Callable[[int], float]]] = [
        (
            # constant * linear_warmup * rsqrt_decay
            optim.inverse_square_root(base / warmup**0.5, warmup_steps=warmup),
            lambda step: base * min(1.0, step / warmup) / max(step, warmup) ** 0.5,
        ),
        (
            # constant * rsqrt_decay, with which T5 was pretrained
            optim.inverse_square_root(base / warmup**0.5, warmup_steps=0, flat_steps=warmup),
            lambda step: base / max(step, warmup) ** 0.5,
        ),
        (
            # linear_decay
            optim.linear_warmup_decay(base, warmup_steps=warmup, decay_steps=400),
            lambda step: base * min(step / warmup, 1.0 + slope * (warmup - step)),
        ),
        (
            # constant * linear_warmup
            optim.constant(base, warmup_steps=warmup),
            lambda step: base * min(1.0, step / warmup),
        ),
    ]
    steps = [0, 1, 7, 49, 50, 51, 300, 449, 450, 451, 10_000, 1_100_000]
    for ours, theirs in pairs:
        np.testing.assert_allclose(
            jax.jit(jax.vmap(ours))(jnp.array(steps)),
            [max(1e-8, theirs(step)) for step in steps],
            rtol=1e-5,
            atol=2e-8,
        )
