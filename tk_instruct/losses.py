"""Losses as weighted sums with their weights.

The division comes last, so the mean is right over packed rows, microbatches and hosts.
"""

from functools import partial

import flax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@flax.struct.dataclass
class Mean:
    """A weighted mean before its division: a sum and its weight, to which others can be added."""

    total: Float[Array, ""]
    weight: Float[Array, ""]

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.weight + other.weight)

    def value(self) -> Float[Array, ""]:
        """The mean; NaN where the weight is 0."""
        return self.total / self.weight


def cross_entropy(
    logits: Float[Array, "batch length vocab"],
    targets: Int[Array, "batch length"],
    weights: Float[Array, "batch length"],
    *,
    z_loss: float,
    label_smoothing: float = 0.0,
) -> Mean:
    """Cross-entropy (nats) plus z_loss · log(Z)², where Z is the denominator of the softmax.

    Equal to T5X's compute_weighted_cross_entropy. With label smoothing the target has the
    probability 1 - label_smoothing, and all other tokens share the rest equally. The entropy of
    that distribution is subtracted, so a perfect prediction has the loss 0.
    """
    losses = _token_losses(logits.astype(jnp.float32), targets, z_loss, label_smoothing)
    weights = weights.astype(jnp.float32)
    return Mean(jnp.sum(losses * weights), jnp.sum(weights))


def token_accuracy(
    logits: Float[Array, "batch length vocab"],
    targets: Int[Array, "batch length"],
    weights: Float[Array, "batch length"],
) -> Mean:
    """The share of targets that have the highest logit; a tie counts."""
    correct = _pick(logits, targets) >= jnp.max(logits, axis=-1)
    weights = weights.astype(jnp.float32)
    return Mean(jnp.sum(correct * weights), jnp.sum(weights))


def _is_target(
    logits: Float[Array, "batch length vocab"], targets: Int[Array, "batch length"]
) -> Array:
    # XLA fuses the comparison into the loops that use it, so it is never stored. A sharded
    # vocabulary needs no gather over devices.
    ids = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    return ids == targets[..., None]


def _pick(
    logits: Float[Array, "batch length vocab"], targets: Int[Array, "batch length"]
) -> Float[Array, "batch length"]:
    return jnp.sum(jnp.where(_is_target(logits, targets), logits, 0), axis=-1)


def _smoothed(vocab_size: int, label_smoothing: float) -> tuple[float, float, float]:
    """Probability of the target, of each other token, and the entropy of the two (nats)."""
    on, off = 1 - label_smoothing, label_smoothing / (vocab_size - 1)
    entropy = -(on * np.log(on) + (vocab_size - 1) * off * np.log(off + 1e-20))
    return on, off, float(entropy)


# The logits are the largest array of a model. With this derivative the backward pass needs only
# them and log Z, and no second array of their size.
@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _token_losses(
    logits: Float[Array, "batch length vocab"],
    targets: Int[Array, "batch length"],
    z_loss: float,
    label_smoothing: float,
) -> Float[Array, "batch length"]:
    return _token_losses_forward(logits, targets, z_loss, label_smoothing)[0]


def _token_losses_forward(
    logits: Array, targets: Array, z_loss: float, label_smoothing: float
) -> tuple[Array, tuple[Array, Array, Array]]:
    highest = jnp.max(logits, axis=-1)
    log_z = highest + jnp.log(jnp.sum(jnp.exp(logits - highest[..., None]), axis=-1))
    losses = log_z - _pick(logits, targets) + z_loss * jnp.square(log_z)
    if label_smoothing:
        on, off, entropy = _smoothed(logits.shape[-1], label_smoothing)
        # on + (vocab - 1) off = 1, so log Z is not affected.
        expected = (on - off) * _pick(logits, targets) + off * jnp.sum(logits, axis=-1)
        losses = log_z - expected - entropy + z_loss * jnp.square(log_z)
    return losses, (logits, targets, log_z)


def _token_losses_backward(
    z_loss: float, label_smoothing: float, saved: tuple[Array, Array, Array], gradient: Array
) -> tuple[Array, None]:
    logits, targets, log_z = saved
    on, off, _ = _smoothed(logits.shape[-1], label_smoothing)
    probabilities = jnp.exp(logits - log_z[..., None])
    wanted = jnp.where(_is_target(logits, targets), on, off)
    slope = (1 + 2 * z_loss * log_z)[..., None]
    return gradient[..., None] * (slope * probabilities - wanted), None


_token_losses.defvjp(_token_losses_forward, _token_losses_backward)
