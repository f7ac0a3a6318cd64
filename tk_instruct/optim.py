"""Optimizers that know stacked layers, and learning-rate schedules over a run's steps.

Both optimizers are used as tx.update(gradients, opt_state, params, step=step): schedules follow
the run's step, which starts at the step of the checkpoint that a run starts from, as in T5X;
moments follow their own count of updates.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from tk_instruct.model.stacking import LAYER_AXIS, is_stacked
from tk_instruct.ranges import check_number, check_whole

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]

MOST_STEPS = 2**31 - 1  # a step is an int32
_MIN_SIDE_TO_FACTOR = 128
_MIN_SQUARED_GRADIENT = 1e-30
_MIN_PARAMETER_SCALE = 1e-3


class AdafactorState(NamedTuple):
    """Second moments in float32, of each parameter either v or v_row and v_col.

    The unused ones of a parameter have the shape (1,). num_updates is how many updates are in
    the moments.
    """

    num_updates: Int[Array, ""]
    v_row: Any
    v_col: Any
    v: Any


def adafactor(
    learning_rate: Schedule | float,
    *,
    decay_rate: float = 0.8,
    multiply_by_parameter_scale: bool = True,
    weight_decay: float = 0.0,
    max_gradient_norm: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Adafactor (arXiv:1804.04235) as T5X trains T5 with: no momentum.

    Steps are relative to the root mean square of each parameter (at least 1e-3) and are clipped
    to a root mean square of 1. Second moments are factored where both sides are at least 128; in
    update t, from 0, they decay by 1 - (t + 1)^-decay_rate. Each layer of a stack has its own
    scale, clipping and moments, as if it were not stacked. Matches t5x.adafactor.Adafactor, which
    however factors stacked matrices of any size.

    Fresh moments start at t = 0, also in a run that starts from a checkpoint's parameters: T5X
    does that with step_offset set to that checkpoint's step, and not otherwise.

    Args:
        learning_rate: of the run's step.
        multiply_by_parameter_scale: without, steps are as large for any parameter.
        weight_decay: the share of itself that each parameter loses in a step, whatever the
            learning rate is: T5X's weight_decay_rate.
        max_gradient_norm: scales down gradients whose norm, over all parameters, is above it.

    Raises:
        UserError: a number that no optimizer can have; as adamw and the schedules do.
    """
    check_number("decay_rate", decay_rate, "(0, 1]", try_=0.8)
    check_number("weight_decay", weight_decay, "[0, 1)", try_=1e-4)
    return optax.chain(
        _clip(max_gradient_norm),
        _scale_by_adafactor(decay_rate, multiply_by_parameter_scale),
        _descend(learning_rate, weight_decay),
    )


def adamw(
    learning_rate: Schedule | float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    max_gradient_norm: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    """AdamW (arXiv:1711.05101); layer-norm scales are not decayed. Arguments as in adafactor."""

    for name, decay in (("b1", b1), ("b2", b2)):
        check_number(name, decay, "[0, 1)", try_=0.9)
    check_number("eps", eps, "(0, 1)", try_=1e-8)
    check_number("weight_decay", weight_decay, "[0, 1)", try_=0.01)

    def matrices(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, param: len(_axes_of_a_layer(path, param)) > 1, params
        )

    return optax.chain(
        _clip(max_gradient_norm),
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        optax.add_decayed_weights(weight_decay, mask=matrices),
        _descend(learning_rate),
    )


def constant(learning_rate: float, warmup_steps: int = 0, step_offset: int = 0) -> Schedule:
    """learning_rate, reached linearly from 0 over warmup_steps.

    This and the other schedules count from step_offset: what comes before is as step 0.
    """
    _check_schedule(learning_rate, warmup_steps, step_offset)
    return _from(step_offset, lambda step: learning_rate * _warmup(step, warmup_steps))


def inverse_square_root(
    peak_learning_rate: float, warmup_steps: int, flat_steps: int = 0, step_offset: int = 0
) -> Schedule:
    """Linear from 0 to the peak at warmup_steps, flat to flat_steps, then falling as 1/sqrt(step).

    T5 was pretrained with inverse_square_root(0.01, warmup_steps=0, flat_steps=10_000)
    (arXiv:1910.10683, section 3.1.2).
    """
    _check_schedule(peak_learning_rate, warmup_steps, step_offset)
    check_whole("flat_steps", flat_steps, 0, MOST_STEPS)
    peak_until = max(warmup_steps, flat_steps, 1)

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        decay = jnp.sqrt(peak_until / jnp.maximum(step, peak_until))
        return peak_learning_rate * _warmup(step, warmup_steps) * decay

    return _from(step_offset, schedule)


def linear_warmup_decay(
    peak_learning_rate: float, warmup_steps: int, decay_steps: int, step_offset: int = 0
) -> Schedule:
    """Linear from 0 to the peak at warmup_steps, then linear to 0 decay_steps later."""
    _check_schedule(peak_learning_rate, warmup_steps, step_offset)
    check_whole("decay_steps", decay_steps, 1, MOST_STEPS)

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        left = jnp.clip((warmup_steps + decay_steps - step) / decay_steps, 0, 1)
        return peak_learning_rate * _warmup(step, warmup_steps) * left

    return _from(step_offset, schedule)


def _check_schedule(learning_rate: float, warmup_steps: int, step_offset: int) -> None:
    _check_learning_rate(learning_rate)
    check_whole("warmup_steps", warmup_steps, 0, MOST_STEPS)
    check_whole("step_offset", step_offset, 0, MOST_STEPS)


def _check_learning_rate(learning_rate: float) -> None:
    check_number("learning_rate", learning_rate, "[0, inf)", try_=1e-3)


def _from(step_offset: int, schedule: Schedule) -> Schedule:
    return lambda step: schedule(jnp.maximum(step - step_offset, 0))


def _warmup(step: Int[Array, ""], warmup_steps: int) -> Float[Array, ""]:
    return jnp.minimum(1.0, step / warmup_steps) if warmup_steps else jnp.ones(())


def _clip(max_gradient_norm: float | None) -> optax.GradientTransformation:
    # Both have the same empty state, so that clipping can be switched in a run that continues.
    if max_gradient_norm is None:
        return optax.identity()
    check_number("max_gradient_norm", max_gradient_norm, "(0, inf)", try_="1.0 or None")
    return optax.clip_by_global_norm(max_gradient_norm)


def _descend(
    learning_rate: Schedule | float, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
    if not callable(learning_rate):
        _check_learning_rate(learning_rate)

    def init(params: Any) -> optax.EmptyState:
        return optax.EmptyState()

    def update(
        updates: Any, state: Any, params: Any = None, *, step: Int[Array, ""], **_: Any
    ) -> tuple[Any, Any]:
        rate = learning_rate(step) if callable(learning_rate) else learning_rate
        updates = jax.tree.map(lambda update: -rate * update, updates)
        if weight_decay:
            updates = jax.tree.map(lambda u, param: u - weight_decay * param, updates, params)
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)


def _scale_by_adafactor(
    decay_rate: float, multiply_by_parameter_scale: bool
) -> optax.GradientTransformation:
    adafactor_step = partial(_adafactor_step, multiply_by_parameter_scale)

    def init(params: Any) -> AdafactorState:
        def moments(path: Any, param: Any) -> tuple[Array, Array, Array]:
            axes = _axes_of_a_layer(path, param)
            unused = jnp.zeros((1,), jnp.float32)
            if not _is_factored(param, axes):
                return unused, unused, jnp.zeros(param.shape, jnp.float32)
            row, col = (np.delete(param.shape, axis) for axis in reversed(axes))
            return jnp.zeros(row, jnp.float32), jnp.zeros(col, jnp.float32), unused

        return AdafactorState(jnp.zeros((), jnp.int32), *_map(moments, params))

    def update(gradients: Any, state: AdafactorState, params: Any) -> tuple[Any, AdafactorState]:
        decay = 1 - (state.num_updates + 1.0) ** -decay_rate
        updates, *moments = _map(
            partial(adafactor_step, decay), gradients, params, state.v_row, state.v_col, state.v
        )
        return updates, AdafactorState(state.num_updates + 1, *moments)

    return optax.GradientTransformation(init, update)


def _adafactor_step(
    multiply_by_parameter_scale: bool,
    decay: Array,
    path: Any,
    gradient: Array,
    param: Array,
    v_row: Array,
    v_col: Array,
    v: Array,
) -> tuple[Array, Array, Array, Array]:
    """The step for a learning rate of 1, and the new moments."""
    axes = _axes_of_a_layer(path, param)
    gradient = gradient.astype(jnp.float32)
    square = jnp.square(gradient)
    if _is_factored(param, axes):
        first, last = axes
        row = jnp.mean(square, axis=last) + _MIN_SQUARED_GRADIENT
        col = jnp.mean(square, axis=first) + _MIN_SQUARED_GRADIENT
        v_row = decay * v_row + (1 - decay) * row
        v_col = decay * v_col + (1 - decay) * col
        by_row = jax.lax.rsqrt(v_row / jnp.mean(v_row, axis=first, keepdims=True))
        by_col = jax.lax.rsqrt(v_col)
        step = gradient * jnp.expand_dims(by_row, last) * jnp.expand_dims(by_col, first)
    else:
        v = decay * v + (1 - decay) * (square + _MIN_SQUARED_GRADIENT)
        step = gradient * jax.lax.rsqrt(v)
    scale = jnp.ones(())
    if multiply_by_parameter_scale:
        scale = jnp.maximum(_MIN_PARAMETER_SCALE, _root_mean_square(param, axes))
    clipping = jnp.maximum(1.0, _root_mean_square(step, axes))
    return step * (scale / clipping), v_row, v_col, v


def _map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """A tuple of trees from a function of (path, *leaves) that returns a tuple of leaves."""
    tuples = jax.tree_util.tree_map_with_path(function, tree, *rest)
    return jax.tree.transpose(jax.tree.structure(tree), None, tuples)


def _axes_of_a_layer(path: Any, param: Any) -> tuple[int, ...]:
    """All axes, but in a stack of layers not the one that the layers are along."""
    stacked = is_stacked(jax.tree_util.keystr(path, simple=True, separator="/"))
    return tuple(axis for axis in range(param.ndim) if not (stacked and axis == LAYER_AXIS))


def _is_factored(param: Any, axes: tuple[int, ...]) -> bool:
    return len(axes) == 2 and min(param.shape[axis] for axis in axes) >= _MIN_SIDE_TO_FACTOR


def _root_mean_square(x: Array, axes: tuple[int, ...]) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=axes, keepdims=True))
