"""The mathematics of the optimizers in optim.py, as optax transformations."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from tk_instruct.model.stacking import LAYER_AXIS, is_stacked

_MIN_SIDE_TO_FACTOR = 128
_MIN_SQUARED_GRADIENT = 1e-30
_MIN_PARAMETER_SCALE = 1e-3


class AdafactorState(NamedTuple):
    """Second moments in float32: for each parameter either v, or v_row and v_col.

    The moments that a parameter does not use have the shape (1,). num_updates counts the updates
    that the moments hold.
    """

    num_updates: Int[Array, ""]
    v_row: Any
    v_col: Any
    v: Any


def adafactor(
    learning_rate: Callable[[Array], Array] | float,
    decay_rate: float,
    multiply_by_parameter_scale: bool,
    weight_decay: float,
    max_gradient_norm: float | None,
) -> optax.GradientTransformationExtraArgs:
    """See optim.adafactor."""
    return optax.chain(
        _clip(max_gradient_norm),
        _scale_by_adafactor(decay_rate, multiply_by_parameter_scale),
        _descend(learning_rate, weight_decay),
    )


def adamw(
    learning_rate: Callable[[Array], Array] | float,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    max_gradient_norm: float | None,
) -> optax.GradientTransformationExtraArgs:
    """See optim.adamw."""

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


def _clip(max_gradient_norm: float | None) -> optax.GradientTransformation:
    # Both have the same empty state, so a continued run can switch clipping on or off.
    if max_gradient_norm is None:
        return optax.identity()
    return optax.clip_by_global_norm(max_gradient_norm)


def _descend(
    learning_rate: Callable[[Array], Array] | float, weight_decay: float = 0.0
) -> optax.GradientTransformationExtraArgs:
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
    """All axes of a parameter, without the axis of layers if it stacks layers."""
    stacked = is_stacked(jax.tree_util.keystr(path, simple=True, separator="/"))
    return tuple(axis for axis in range(param.ndim) if not (stacked and axis == LAYER_AXIS))


def _is_factored(param: Any, axes: tuple[int, ...]) -> bool:
    return len(axes) == 2 and min(param.shape[axis] for axis in axes) >= _MIN_SIDE_TO_FACTOR


def _root_mean_square(x: Array, axes: tuple[int, ...]) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=axes, keepdims=True))
