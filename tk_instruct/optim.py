"""Optimizers that know stacked layers, and learning-rate schedules over a run's steps.

Both optimizers are used as tx.update(gradients, opt_state, params, step=step): schedules follow
the run's step, which starts at the step of the checkpoint that a run starts from, as in T5X;
moments follow their own count of updates.

Gin files give these functions their numbers. An optimizer imports JAX only when it is first used,
so a run's settings are checked before that. transformations.py has the mathematics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tk_instruct.ranges import check_number, check_whole

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int
    from optax import GradientTransformationExtraArgs as Optimizer
else:

    @runtime_checkable
    class Optimizer(Protocol):
        """An optax.GradientTransformation, known by its functions: optax is not imported."""

        def init(self, params: Any) -> Any: ...

        def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any: ...


@dataclass(frozen=True)
class _Deferred:
    """An optimizer that is made when it is first used."""

    make: Callable[[], Any]

    @cached_property
    def made(self) -> Any:
        return self.make()

    def init(self, params: Any) -> Any:
        return self.made.init(params)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return self.made.update(updates, state, params, **extra)


def as_optax(optimizer: Optimizer) -> Optimizer:
    """The optimizer as an optax transformation whose update takes the step, and may ignore it."""
    import optax

    made = optimizer.made if isinstance(optimizer, _Deferred) else optimizer
    return optax.with_extra_args_support(made)


# The run's step → its learning rate.
Schedule = Callable[["Int[Array, '']"], "Float[Array, '']"]

MOST_STEPS = 2**31 - 1  # a step is an int32


def adafactor(
    learning_rate: Schedule | float,
    *,
    decay_rate: float = 0.8,
    multiply_by_parameter_scale: bool = True,
    weight_decay: float = 0.0,
    max_gradient_norm: float | None = None,
) -> Optimizer:
    """Adafactor (arXiv:1804.04235) as T5X trains T5 with: no momentum.

    Steps are relative to the root mean square of each parameter (at least 1e-3) and are clipped
    to a root mean square of 1. Second moments are factored where both sides are at least 128; in
    update t, from 0, they decay by 1 - (t + 1)^-decay_rate. Each layer of a stack has its own
    scale, clipping and moments, as if it were not stacked. Matches t5x.adafactor.Adafactor, which
    however factors stacked matrices of any size.

    Fresh moments start at t = 0, also in a run that starts from a checkpoint's parameters: T5X
    does that with step_offset set to that checkpoint's step, and not otherwise.

    Args:
        learning_rate: a number, or a schedule of the run's step.
        multiply_by_parameter_scale: if False, steps are not relative to the parameter.
        weight_decay: the share of its value that each parameter loses in a step. It does not
            depend on the learning rate, as T5X's weight_decay_rate.
        max_gradient_norm: gradients with a larger norm, over all parameters, are scaled down to
            it; None never scales.

    Raises:
        UserError: a number is out of its range.
    """
    check_number("decay_rate", decay_rate, "(0, 1]", try_=0.8)
    check_number("weight_decay", weight_decay, "[0, 1)", try_=1e-4)
    _check_of_any_optimizer(learning_rate, max_gradient_norm)

    def make() -> Optimizer:
        from tk_instruct import transformations

        return transformations.adafactor(
            learning_rate, decay_rate, multiply_by_parameter_scale, weight_decay, max_gradient_norm
        )

    return _Deferred(make)


def adamw(
    learning_rate: Schedule | float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    max_gradient_norm: float | None = None,
) -> Optimizer:
    """AdamW (arXiv:1711.05101). Layer-norm scales have no weight decay.

    Arguments and errors are as in adafactor, but weight_decay is multiplied by the learning rate.
    """
    for name, decay in (("b1", b1), ("b2", b2)):
        check_number(name, decay, "[0, 1)", try_=0.9)
    check_number("eps", eps, "(0, 1)", try_=1e-8)
    check_number("weight_decay", weight_decay, "[0, 1)", try_=0.01)
    _check_of_any_optimizer(learning_rate, max_gradient_norm)

    def make() -> Optimizer:
        from tk_instruct import transformations

        return transformations.adamw(learning_rate, b1, b2, eps, weight_decay, max_gradient_norm)

    return _Deferred(make)


def constant(learning_rate: float, warmup_steps: int = 0, step_offset: int = 0) -> Schedule:
    """Rises linearly from 0 to learning_rate over warmup_steps, and stays there.

    All schedules count steps from step_offset; earlier steps are taken for step 0.

    Raises:
        UserError: a number is out of its range.
    """
    _check_schedule(learning_rate, warmup_steps, step_offset)
    return _from(step_offset, lambda step: learning_rate * _warmup(step, warmup_steps))


def inverse_square_root(
    peak_learning_rate: float, warmup_steps: int, flat_steps: int = 0, step_offset: int = 0
) -> Schedule:
    """Rises linearly until warmup_steps, is flat until flat_steps, then falls as 1/sqrt(step).

    T5 was pretrained with inverse_square_root(0.01, warmup_steps=0, flat_steps=10_000)
    (arXiv:1910.10683, section 3.1.2).
    """
    _check_schedule(peak_learning_rate, warmup_steps, step_offset)
    check_whole("flat_steps", flat_steps, 0, MOST_STEPS)
    peak_until = max(warmup_steps, flat_steps, 1)

    def schedule(step: "Int[Array, '']") -> "Float[Array, '']":
        import jax.numpy as jnp

        decay = jnp.sqrt(peak_until / jnp.maximum(step, peak_until))
        return peak_learning_rate * _warmup(step, warmup_steps) * decay

    return _from(step_offset, schedule)


def linear_warmup_decay(
    peak_learning_rate: float, warmup_steps: int, decay_steps: int, step_offset: int = 0
) -> Schedule:
    """Rises linearly to the peak at warmup_steps, then falls linearly to 0 in decay_steps."""
    _check_schedule(peak_learning_rate, warmup_steps, step_offset)
    check_whole("decay_steps", decay_steps, 1, MOST_STEPS)

    def schedule(step: "Int[Array, '']") -> "Float[Array, '']":
        import jax.numpy as jnp

        left = jnp.clip((warmup_steps + decay_steps - step) / decay_steps, 0, 1)
        return peak_learning_rate * _warmup(step, warmup_steps) * left

    return _from(step_offset, schedule)


def _check_schedule(learning_rate: float, warmup_steps: int, step_offset: int) -> None:
    _check_learning_rate(learning_rate)
    check_whole("warmup_steps", warmup_steps, 0, MOST_STEPS)
    check_whole("step_offset", step_offset, 0, MOST_STEPS)


def _check_of_any_optimizer(
    learning_rate: Schedule | float, max_gradient_norm: float | None
) -> None:
    if max_gradient_norm is not None:
        check_number("max_gradient_norm", max_gradient_norm, "(0, inf)", try_="1.0 or None")
    if not callable(learning_rate):
        _check_learning_rate(learning_rate)


def _check_learning_rate(learning_rate: float) -> None:
    check_number("learning_rate", learning_rate, "[0, inf)", try_=1e-3)


def _from(step_offset: int, schedule: Schedule) -> Schedule:
    def shifted(step: "Int[Array, '']") -> "Float[Array, '']":
        import jax.numpy as jnp

        return schedule(jnp.maximum(step - step_offset, 0))

    return shifted


def _warmup(step: "Int[Array, '']", warmup_steps: int) -> "Float[Array, '']":
    import jax.numpy as jnp

    return jnp.minimum(1.0, step / warmup_steps) if warmup_steps else jnp.ones(())
