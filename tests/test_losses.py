import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct.losses import Mean, cross_entropy, token_accuracy

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(3 * RNG.standard_normal((3, 4, 7)), jnp.float32)
TARGETS = jnp.asarray(RNG.integers(0, 7, (3, 4)))
WEIGHTS = jnp.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0.5, 0, 0]])


def slow_loss(logits: Any, z_loss: float, label_smoothing: float) -> float:
    """The definition, one token and one vocabulary entry at a time, in float64."""
    total = 0.0
    for b in range(3):
        for t in range(4):
            scores = [float(x) for x in logits[b, t]]
            log_z = math.log(sum(math.exp(x) for x in scores))
            loss = z_loss * log_z**2
            for v, score in enumerate(scores):
                wanted = 1 - label_smoothing if v == TARGETS[b, t] else label_smoothing / 6
                if wanted:
                    loss += wanted * (math.log(wanted) - (score - log_z))
            total += loss * float(WEIGHTS[b, t])
    return total


@pytest.mark.parametrize(("z_loss", "label_smoothing"), [(0.0, 0.0), (0.01, 0.0), (0.01, 0.2)])
def test_cross_entropy_and_its_gradient(z_loss: float, label_smoothing: float) -> None:
    def total(logits: jax.Array) -> jax.Array:
        loss = cross_entropy(
            logits, TARGETS, WEIGHTS, z_loss=z_loss, label_smoothing=label_smoothing
        )
        assert loss.total.dtype == jnp.float32
        return loss.total

    expected = slow_loss(LOGITS, z_loss, label_smoothing)
    np.testing.assert_allclose(total(LOGITS), expected, rtol=1e-5)

    gradient = jax.grad(total)(LOGITS)
    for index in [(0, 0, 3), (1, 1, int(TARGETS[1, 1])), (2, 1, 5), (2, 2, 0)]:
        ends = []
        for sign in (1, -1):
            moved = np.array(LOGITS, np.float64)
            moved[index] += sign * 1e-5
            ends.append(slow_loss(moved, z_loss, label_smoothing))
        np.testing.assert_allclose(gradient[index], (ends[0] - ends[1]) / 2e-5, atol=1e-5)


def test_weight_is_the_number_of_tokens() -> None:
    assert cross_entropy(LOGITS, TARGETS, WEIGHTS, z_loss=0.0).weight == 6.5


def test_huge_logits_do_not_overflow() -> None:
    logits = jnp.array([[[1e4, 0.0, -1e4]]])
    loss = cross_entropy(logits, jnp.array([[1]]), jnp.ones((1, 1)), z_loss=0.0)
    assert loss.total == 1e4


def test_bfloat16_logits_are_summed_in_float32() -> None:
    logits = jnp.zeros((1, 300, 2), jnp.bfloat16)
    targets = jnp.zeros((1, 300), jnp.int32)
    loss = cross_entropy(logits, targets, jnp.ones((1, 300)), z_loss=0.0)
    np.testing.assert_allclose(loss.total, 300 * math.log(2), rtol=1e-5)


def test_accuracy_counts_weighted_hits() -> None:
    best = np.argmax(np.asarray(LOGITS), axis=-1)
    targets = np.array(best + 1) % 7
    for hit in [(0, 0), (0, 3), (2, 1), (2, 2)]:  # of weights 1, 1, 0.5 and 0
        targets[hit] = best[hit]
    accuracy = token_accuracy(LOGITS, jnp.asarray(targets), WEIGHTS)
    assert (float(accuracy.total), float(accuracy.weight)) == (2.5, 6.5)


def test_means_of_parts_add_up_to_the_mean_of_all() -> None:
    whole = cross_entropy(LOGITS, TARGETS, WEIGHTS, z_loss=0.01)
    first, *rest = (
        cross_entropy(LOGITS[i : i + 1], TARGETS[i : i + 1], WEIGHTS[i : i + 1], z_loss=0.01)
        for i in range(3)
    )
    parts = sum(rest, start=first)
    np.testing.assert_allclose(parts.value(), whole.value(), rtol=1e-6)


def test_mean_of_nothing_is_not_a_number() -> None:
    assert math.isnan(Mean(jnp.zeros(()), jnp.zeros(())).value())
