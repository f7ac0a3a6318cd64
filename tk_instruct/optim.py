"""Optimizers and learning-rate schedules, from optax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]


def adafactor(
    learning_rate: Schedule | float, *, decay_rate: float = 0.8
) -> optax.GradientTransformation:
    """Adafactor (arXiv:1804.04235) with the hyperparameters T5X trains T5 with.

    Steps are relative to the root mean square of each parameter (at least 1e-3), second moments
    are factored where both sides are at least 128, decay with 1 - (step + 1)^-decay_rate, updates
    are clipped to a root mean square of 1; no momentum, no weight decay.

    On parameters of at most two axes in float32 the arithmetic is that of T5X's Adafactor. What
    differs: the decay counts optimizer steps from 0 where T5X goes on from the step of the
    checkpoint that a fine-tuning run starts from (as step_offset = that step would in T5X);
    second moments have the parameter's dtype, in T5X always float32; on stacked layers optax
    takes one parameter scale and one clipping for the whole stack, T5X one per layer; there is
    no counterpart to T5X's max_parameter_scale, global_norm_clip_threshold or skip_nan_updates.
    """
    return optax.adafactor(
        learning_rate,
        min_dim_size_to_factor=128,
        decay_rate=decay_rate,
        multiply_by_parameter_scale=True,
        clipping_threshold=1.0,
        momentum=None,
        weight_decay_rate=None,
        eps=1e-30,
        factored=True,
    )


def adamw(
    learning_rate: Schedule | float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """AdamW (arXiv:1711.05101); layer-norm scales are not decayed."""

    def matrices(params: Any) -> Any:
        return jax.tree.map(lambda param: param.ndim > 1, params)

    return optax.adamw(
        learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=matrices
    )


def constant(learning_rate: float, warmup_steps: int = 0) -> Schedule:
    """learning_rate, reached linearly from 0 over warmup_steps."""
    return lambda step: learning_rate * _warmup(step, warmup_steps)


def inverse_square_root(peak_learning_rate: float, warmup_steps: int) -> Schedule:
    """Linear from 0 to the peak at warmup_steps, then falling with 1/sqrt(step)."""

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        decay = jnp.sqrt(max(warmup_steps, 1) / jnp.maximum(step, max(warmup_steps, 1)))
        return peak_learning_rate * _warmup(step, warmup_steps) * decay

    return schedule


def linear_warmup_decay(peak_learning_rate: float, warmup_steps: int, decay_steps: int) -> Schedule:
    """Linear from 0 to the peak at warmup_steps, then linear to 0 decay_steps later."""

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        left = jnp.clip((warmup_steps + decay_steps - step) / decay_steps, 0, 1)
        return peak_learning_rate * _warmup(step, warmup_steps) * left

    return schedule


def _warmup(step: Int[Array, ""], warmup_steps: int) -> Float[Array, ""]:
    return jnp.minimum(1.0, step / warmup_steps) if warmup_steps else jnp.ones(())
