"""Decoding: from inputs to target tokens."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tk_instruct.model.config import T5Config
from tk_instruct.model.layers import KeysValues
from tk_instruct.model.t5 import T5


def empty_past(config: T5Config, batch_size: int, max_target_tokens: int) -> tuple[KeysValues, ...]:
    """Self-attention keys and values of every decoder layer before the first token."""
    shape = (batch_size, config.num_heads, max_target_tokens, config.head_dim)
    zeros = jnp.zeros(shape, config.dtype)
    return tuple(KeysValues(zeros, zeros) for _ in range(config.num_decoder_layers))


def greedy(
    model: T5,
    params: Any,
    encoder_input_tokens: Int[Array, "batch length"],
    encoder_segment_ids: Int[Array, "batch length"],
    *,
    max_target_tokens: int,
    eos_id: int = 1,
    start_id: int = 0,
) -> Int[Array, "batch max_target_tokens"]:
    """The most likely next token, again and again, up to and including the first `eos_id`.

    One example a row (encoder_segment_ids 1 on tokens, 0 on padding). What follows the end of a
    row is 0. Stops when every row has ended, so short answers are cheap whatever the maximum.
    """
    variables = {"params": params}
    encoded = model.apply(
        variables, encoder_input_tokens, encoder_segment_ids, True, method="encode"
    )
    cross = model.apply(variables, encoded, method="cross_keys_values")
    batch_size = encoder_input_tokens.shape[0]

    def unfinished(carry: tuple) -> Array:
        position, _, ended, _, _ = carry
        return (position < max_target_tokens) & ~jnp.all(ended)

    def emit(carry: tuple) -> tuple:
        position, last, ended, past, outputs = carry
        logits, past = model.apply(
            variables, last, position, past, cross, encoder_segment_ids, method="decode_step"
        )
        token = jnp.where(ended, 0, jnp.argmax(logits, axis=-1).astype(jnp.int32))
        outputs = jax.lax.dynamic_update_slice_in_dim(outputs, token[:, None], position, axis=1)
        return position + 1, token, ended | (token == eos_id), past, outputs

    start = (
        jnp.zeros((), jnp.int32),
        jnp.full(batch_size, start_id, jnp.int32),
        jnp.zeros(batch_size, bool),
        empty_past(model.config, batch_size, max_target_tokens),
        jnp.zeros((batch_size, max_target_tokens), jnp.int32),
    )
    return jax.lax.while_loop(unfinished, emit, start)[-1]
