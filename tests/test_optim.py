import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tk_instruct import optim


def test_adafactor_is_that_of_the_paper_as_t5x_sets_it() -> None:
    """Against arXiv:1804.04235 (algorithms 4 and 5) written out in float64."""
    rng = np.random.default_rng(0)
    params = {
        "factored": rng.standard_normal((128, 130)),
        "whole": rng.standard_normal((127, 200)),
        "tiny": 1e-6 * rng.standard_normal(5),  # below the least parameter scale, 1e-3
    }
    rate = optim.constant(0.01)
    tx = optim.adafactor(rate, decay_rate=0.8)
    ours = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    state = tx.init(ours)
    rows, columns, whole = np.zeros(128), np.zeros(130), {"whole": 0.0, "tiny": 0.0}
    for step in range(3):
        gradients = {
            name: 10.0**step * rng.standard_normal(x.shape) for name, x in sorted(params.items())
        }
        updates, state = tx.update(
            jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), gradients), state, ours
        )
        ours = optax.apply_updates(ours, updates)

        keep = 1 - (step + 1) ** -0.8
        for name, gradient in gradients.items():
            square = gradient**2 + 1e-30
            if name == "factored":
                rows = keep * rows + (1 - keep) * square.mean(axis=1)
                columns = keep * columns + (1 - keep) * square.mean(axis=0)
                second_moment = np.outer(rows, columns) / rows.mean()
            else:
                whole[name] = keep * whole[name] + (1 - keep) * square
                second_moment = whole[name]
            update = gradient / np.sqrt(second_moment)
            update /= max(1.0, np.sqrt((update**2).mean()))
            scale = max(1e-3, np.sqrt((params[name] ** 2).mean()))
            params[name] = params[name] - 0.01 * scale * update
    for name, expected in params.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-4, atol=1e-7)


def test_adafactor_keeps_a_row_and_a_column_for_a_matrix() -> None:
    state = optim.adafactor(0.01).init({"kernel": jnp.zeros((256, 512))})
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) < 1000


def test_adamw_decays_matrices_and_not_scales() -> None:
    tx = optim.adamw(0.1, weight_decay=0.5)
    params = {"kernel": jnp.ones((2, 2)), "scale": jnp.ones(2)}
    gradients = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(gradients, tx.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.05 * np.ones((2, 2)), rtol=1e-6)
    np.testing.assert_array_equal(updates["scale"], np.zeros(2))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (optim.constant(0.5), {0: 0.5, 1: 0.5, 1000: 0.5}),
        (optim.constant(0.5, warmup_steps=10), {0: 0.0, 5: 0.25, 10: 0.5, 1000: 0.5}),
        (
            optim.inverse_square_root(0.5, warmup_steps=100),
            {0: 0.0, 50: 0.25, 100: 0.5, 400: 0.25, 10_000: 0.05},
        ),
        (optim.inverse_square_root(0.5, warmup_steps=0), {0: 0.5, 1: 0.5, 4: 0.25}),
        (
            optim.linear_warmup_decay(0.5, warmup_steps=10, decay_steps=40),
            {0: 0.0, 5: 0.25, 10: 0.5, 30: 0.25, 50: 0.0, 60: 0.0},
        ),
        (
            optim.linear_warmup_decay(0.5, warmup_steps=0, decay_steps=10),
            {0: 0.5, 5: 0.25, 10: 0.0},
        ),
    ],
)
def test_schedules(schedule: optax.Schedule, expected: dict[int, float]) -> None:
    jitted = jax.jit(schedule)
    for step, rate in expected.items():
        assert float(jitted(jnp.int32(step))) == pytest.approx(rate, rel=1e-6), step
