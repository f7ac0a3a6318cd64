"""The state of a run, one pure training step, one evaluation step."""

from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from tk_instruct.losses import Mean, token_accuracy
from tk_instruct.model.t5 import T5

# encoder_input_tokens, encoder_segment_ids [batch, length]; decoder_target_tokens,
# decoder_segment_ids [batch, targets]: int32, segments from 1, padding 0.
Batch = Mapping[str, Int[Array, "batch length"]]
# (logits, targets, weights) → loss, such as partial(cross_entropy, z_loss=1e-4).
Loss = Callable[
    [Float[Array, "batch length vocab"], Int[Array, "batch length"], Float[Array, "batch length"]],
    Mean,
]
Metrics = dict[str, Mean]


@flax.struct.dataclass
class TrainState:
    """All that a step changes: plain arrays, parameters under T5X's names."""

    step: Int[Array, ""]
    params: Any
    opt_state: Any


def init_params(model: T5, rng: Array) -> Any:
    """Fresh parameters, each in a box with the names of its logical axes.

    Works under jax.eval_shape, which is how to learn shapes and axes for free.
    """
    token = jnp.zeros((1, 1), jnp.int32)
    variables = model.init(
        rng, token, token, encoder_segment_ids=token, decoder_segment_ids=token, deterministic=True
    )
    return variables["params"]


def create_train_state(model: T5, tx: optax.GradientTransformation, rng: Array) -> TrainState:
    """Step 0. A pure function of the key: jit it with out_shardings to create it in place."""
    params = nn.meta.unbox(init_params(model, rng))
    return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=tx.init(params))


def shift_right_within_segments(
    targets: Int[Array, "batch length"], segment_ids: Int[Array, "batch length"]
) -> Int[Array, "batch length"]:
    """Decoder inputs: each segment's targets one place later, after a 0; padding is 0."""
    previous_targets, previous_ids = (
        jnp.pad(x[:, :-1], ((0, 0), (1, 0))) for x in (targets, segment_ids)
    )
    return jnp.where((segment_ids == previous_ids) & (segment_ids > 0), previous_targets, 0)


def train_step(
    state: TrainState,
    batch: Batch,
    rng: Array,
    *,
    model: T5,
    tx: optax.GradientTransformation,
    loss: Loss,
) -> tuple[TrainState, Metrics]:
    """One update with the gradient of the mean loss of the batch's target tokens.

    `rng` is the run's key: dropout is a function of it and of state.step. Use as
    `jax.jit(partial(train_step, model=model, tx=tx, loss=loss), donate_argnums=0)`.

    Returns:
        The next state, and the metrics loss, accuracy (of the parameters before the update) and
        gradient_norm.
    """
    dropout_key = jax.random.fold_in(rng, state.step)

    def total_loss(params: Any) -> tuple[Array, Metrics]:
        metrics = _metrics(params, batch, model, loss, dropout_key)
        return metrics["loss"].total, metrics

    gradients, metrics = jax.grad(total_loss, has_aux=True)(state.params)
    tokens = jnp.maximum(metrics["loss"].weight, 1)  # a batch of padding changes nothing
    gradients = jax.tree.map(lambda gradient: gradient / tokens, gradients)
    updates, opt_state = tx.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics["gradient_norm"] = Mean(optax.global_norm(gradients), jnp.ones(()))
    return TrainState(step=state.step + 1, params=params, opt_state=opt_state), metrics


def eval_step(params: Any, batch: Batch, *, model: T5, loss: Loss) -> Metrics:
    """The metrics loss and accuracy of a batch, without dropout."""
    return _metrics(params, batch, model, loss, None)


def _metrics(
    params: Any, batch: Batch, model: T5, loss: Loss, dropout_key: Array | None
) -> Metrics:
    targets, segment_ids = batch["decoder_target_tokens"], batch["decoder_segment_ids"]
    logits: Any = model.apply(
        {"params": params},
        batch["encoder_input_tokens"],
        shift_right_within_segments(targets, segment_ids),
        encoder_segment_ids=batch["encoder_segment_ids"],
        decoder_segment_ids=segment_ids,
        deterministic=dropout_key is None,
        rngs={} if dropout_key is None else {"dropout": dropout_key},
    )
    weights = (segment_ids > 0).astype(jnp.float32)
    return {
        "loss": loss(logits, targets, weights),
        "accuracy": token_accuracy(logits, targets, weights),
    }
