"""The state of a run, a pure training step and an evaluation step."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, Num

from tk_instruct import optim
from tk_instruct.errors import UserError
from tk_instruct.losses import Mean, token_accuracy
from tk_instruct.model.language_model import LanguageModel

# A batch of data/pipeline.py. The step reads decoder_target_tokens and decoder_loss_weights
# [batch, targets]; the model reads the rest.
Batch = Mapping[str, Num[Array, "batch length"]]
# (logits, targets, weights) → loss, such as partial(cross_entropy, z_loss=1e-4).
Loss = Callable[
    [Float[Array, "batch length vocab"], Int[Array, "batch length"], Float[Array, "batch length"]],
    Mean,
]
Metrics = dict[str, Mean]


@flax.struct.dataclass
class TrainState:
    """Everything that a training step changes, as plain arrays.

    params holds the trained parameters, under T5X's names. Frozen parameters are not in the state.
    """

    step: Int[Array, ""]
    params: Any
    opt_state: Any


def init_params(model: LanguageModel, rng: Array) -> Any:
    """Fresh parameters, each in a box with the names of its logical axes."""
    token = jnp.zeros((1, 1), jnp.int32)
    batch = {
        "encoder_input_tokens": token,
        "encoder_segment_ids": token,
        "decoder_target_tokens": token,
        "decoder_segment_ids": token,
        "decoder_causal_attention": token,
    }
    return model.init(rng, batch, deterministic=True, method="logits")["params"]


def abstract_params(model: LanguageModel) -> Any:
    """The shapes and types of init_params, in the same boxes; computes nothing."""
    return jax.eval_shape(lambda: init_params(model, jax.random.key(0)))


def trained_and_frozen(params: Any) -> tuple[Any, Any]:
    """Splits a model's parameters; where there is a soft prompt, only the prompt is trained."""
    if "soft_prompt" not in params:
        return params, {}
    frozen = dict(params)
    return {"soft_prompt": frozen.pop("soft_prompt")}, frozen


def create_train_state(
    model: LanguageModel, tx: optax.GradientTransformation, rng: Array
) -> TrainState:
    """The state at step 0. Jit it with out_shardings to create it in place.

    It depends on the key alone.
    """
    params, _ = trained_and_frozen(nn.meta.unbox(init_params(model, rng)))
    return start_from(params, jnp.zeros((), jnp.int32), tx=tx)


def start_from(
    params: Any, step: Int[Array, ""], *, tx: optax.GradientTransformation
) -> TrainState:
    """The state at a step with these parameters and a fresh optimizer."""
    return TrainState(step=step, params=params, opt_state=tx.init(params))


def abstract_state(
    model: LanguageModel, tx: optax.GradientTransformation
) -> tuple[TrainState, Any]:
    """The shapes and types of create_train_state, and of the frozen parameters.

    Parameters are boxed with their logical axes. So is each slot of the optimizer that has the
    shape of its parameter; the others (counters, factored moments) are small and have no box.
    """
    trained, frozen = trained_and_frozen(abstract_params(model))
    params = nn.meta.unbox(trained)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    state = jax.eval_shape(partial(start_from, tx=tx), params, step)
    structure: Any = jax.tree.structure(params)

    def is_slot_of_each(tree: Any) -> bool:
        return jax.tree.structure(tree) == structure

    def boxed(slots: Any) -> Any:
        if not is_slot_of_each(slots):
            return slots
        return jax.tree.map(
            lambda box, slot: box.replace_boxed(slot) if slot.shape == box.value.shape else slot,
            trained,
            slots,
            is_leaf=nn.meta.is_axis_metadata,
        )

    opt_state = jax.tree.map(boxed, state.opt_state, is_leaf=is_slot_of_each)
    return state.replace(params=trained, opt_state=opt_state), frozen


def train_step(
    state: TrainState,
    batch: Batch,
    rng: Array,
    frozen: Mapping[str, Any] = MappingProxyType({}),
    *,
    model: LanguageModel,
    tx: optax.GradientTransformation,
    loss: Loss,
    num_microbatches: int = 1,
) -> tuple[TrainState, Metrics]:
    """One update with the gradient of the mean loss of the batch's target tokens.

    `rng` is the run's key: dropout is a function of it and of state.step. Use as
    `jax.jit(partial(train_step, model=model, tx=tx, loss=loss), donate_argnums=0)`.

    Args:
        frozen: the model's parameters that are not in the state.
        num_microbatches: number of equal parts of the batch, computed one after another. The
            memory of the activations is divided by this number. The update is the same, except
            that dropout draws other masks.

    Returns:
        The next state, and the metrics loss, accuracy (of the parameters before the update) and
        gradient_norm (before clipping).

    Raises:
        UserError: num_microbatches does not divide the batch.
    """
    dropout_key = jax.random.fold_in(rng, state.step)
    # The weight of the whole batch is known before its loss. Dividing the loss by it is cheaper
    # than dividing the gradients afterwards. It is at least 1, so a batch of padding is no error.
    weight = jnp.maximum(jnp.sum(batch["decoder_loss_weights"]), 1)

    def gradients_of(batch: Batch, dropout_key: Array) -> tuple[Any, Metrics]:
        def share_of_loss(params: Any) -> tuple[Array, Metrics]:
            metrics = _metrics({**frozen, **params}, batch, model, loss, dropout_key)
            return metrics["loss"].total / weight, metrics

        return jax.grad(share_of_loss, has_aux=True)(state.params)

    def accumulate(sums: Any, part: tuple[Batch, Array]) -> tuple[Any, Metrics]:
        gradients, metrics = gradients_of(*part)
        return jax.tree.map(jnp.add, sums, gradients), metrics

    if num_microbatches == 1:
        gradients, metrics = gradients_of(batch, dropout_key)
    else:
        zeros = jax.tree.map(lambda param: jnp.zeros(param.shape, jnp.float32), state.params)
        parts = _split(batch, num_microbatches), jax.random.split(dropout_key, num_microbatches)
        gradients, stacked = jax.lax.scan(accumulate, zeros, parts)
        metrics = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), stacked)

    updates, opt_state = optim.as_optax(tx).update(
        gradients, state.opt_state, state.params, step=state.step
    )
    params = optax.apply_updates(state.params, updates)
    metrics["gradient_norm"] = Mean(optax.global_norm(gradients), jnp.ones(()))
    return TrainState(step=state.step + 1, params=params, opt_state=opt_state), metrics


def eval_step(params: Any, batch: Batch, *, model: LanguageModel, loss: Loss) -> Metrics:
    """The metrics loss and accuracy of a batch, without dropout."""
    return _metrics(params, batch, model, loss, None)


def _split(batch: Batch, num_microbatches: int) -> dict[str, Num[Array, "parts rows length"]]:
    """Puts every num_microbatches-th row into the same part.

    Each part then lies over all devices of the batch, and no row moves between devices.
    """
    rows = len(batch["decoder_target_tokens"])
    if num_microbatches < 1 or rows % num_microbatches:
        fitting = max(n for n in range(1, max(num_microbatches, 1) + 1) if rows % n == 0)
        raise UserError(
            f"num_microbatches={num_microbatches} does not divide a batch of {rows} rows; "
            f"try {fitting}"
        )
    return {
        name: array.reshape(-1, num_microbatches, *array.shape[1:]).swapaxes(0, 1)
        for name, array in batch.items()
    }


def _metrics(
    params: Any, batch: Batch, model: LanguageModel, loss: Loss, dropout_key: Array | None
) -> Metrics:
    logits: Any = model.apply(
        {"params": params},
        batch,
        deterministic=dropout_key is None,
        method="logits",
        rngs={} if dropout_key is None else {"dropout": dropout_key},
    )
    targets, weights = batch["decoder_target_tokens"], batch["decoder_loss_weights"]
    return {
        "loss": loss(logits, targets, weights),
        "accuracy": token_accuracy(logits, targets, weights),
    }
