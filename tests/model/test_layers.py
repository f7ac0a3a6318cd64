from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct.model.layers import attend, same_segment

ROWS, HEADS, QUERIES, KEYS, HEAD_DIM = 3, 2, 5, 7, 4


def arrays(bias_rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "queries": (ROWS, HEADS, QUERIES, HEAD_DIM),
        "keys": (ROWS, HEADS, KEYS, HEAD_DIM),
        "values": (ROWS, HEADS, KEYS, HEAD_DIM),
        "bias": (bias_rows, HEADS, QUERIES, KEYS),
    }
    drawn = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    if not bias_rows:
        del drawn["bias"]
    return drawn


def mask() -> Any:
    queries = jnp.array([[1, 1, 2, 2, 0], [1, 1, 1, 1, 1], [1, 2, 2, 2, 2]])
    keys = jnp.array([[1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 0, 0, 0], [1, 1, 2, 2, 2, 2, 2]])
    return same_segment(queries, keys)


def plain(queries: Any, keys: Any, values: Any, bias: Any = 0.0) -> Any:
    """The formula as it is written, for JAX to differentiate."""
    logits = jnp.einsum("bhqd,bhkd->bhqk", queries, keys) + bias
    shares = jnp.exp(logits) * mask()
    total = shares.sum(axis=-1, keepdims=True)
    shares = shares / jnp.where(total > 0, total, 1)
    return jnp.einsum("bhqk,bhkd->bhqd", shares, values)


def loss(outputs: Any) -> Any:
    # What a query of padding finds is used by nothing.
    is_token = mask().any(axis=-1)[..., None]
    return jnp.sum(jnp.where(is_token, jnp.sin(outputs.astype(jnp.float32)), 0))


@pytest.mark.parametrize("bias_rows", [0, 1, ROWS])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 6e-2)])
def test_attention_and_its_gradient_are_the_formulas(
    bias_rows: int, dtype: str, tolerance: float
) -> None:
    given = arrays(bias_rows)

    def found(given: dict[str, Any]) -> Any:
        of_dtype = {n: x.astype(dtype) if n != "bias" else x for n, x in given.items()}
        return loss(
            attend(
                *(of_dtype.get(n) for n in ("queries", "keys", "values")),
                mask(),
                of_dtype.get("bias"),
            )
        )

    value, gradient = jax.jit(jax.value_and_grad(found))(given)
    expected, by_formula = jax.jit(jax.value_and_grad(lambda given: loss(plain(**given))))(given)
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    for name in given:
        assert np.abs(by_formula[name]).max() > 0.1
        np.testing.assert_allclose(
            gradient[name], by_formula[name], rtol=0, atol=tolerance, err_msg=name
        )
