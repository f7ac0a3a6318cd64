"""The interface of a model, of any architecture, to training, decoding and ranking."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from tk_instruct.model.config import TransformerConfig
from tk_instruct.model.layers import embedder


class DecodeState(NamedTuple):
    """The state of a decoder between two targets.

    Attributes:
        position: index of the next target.
        past: keys and values of the earlier tokens, [rows, …]. Beam search copies and drops rows
            of it.
        context: the part that does not change, [batch, …]. `past` can have k rows, next to each
            other, for each row of the context: k beams, or k options.
    """

    position: Int[Array, ""]
    past: Any
    context: Any


class LanguageModel(nn.Module):
    """Logits of targets given inputs: all at once for training, one by one for decoding.

    `prefill` and `option_logits` take one example in a row, padded at the end, with segment_ids 1
    on tokens and 0 on padding.

    A soft prompt (arXiv:2104.08691) is the parameter soft_prompt/embedding, prompt_length vectors
    before the inputs of each example. They are embedded as virtual tokens, whose ids follow the
    ids of the vocabulary. A batch for `logits` has these tokens already; `prefill` adds them.
    """

    config: TransformerConfig
    prompt_length: int = 0

    def setup(self) -> None:
        config = self.config
        self.token_embedder = embedder(config.vocab_size, config.d_model, "vocab")
        if self.prompt_length:
            self.soft_prompt = embedder(self.prompt_length, config.d_model, "prompt")

    def logits(self, batch: Any, deterministic: bool) -> Float[Array, "batch length vocab"]:
        """Float32 logits of batch["decoder_target_tokens"], each given the tokens before it.

        `batch` is a dictionary by T5X's feature names, see data/pipeline.py. Dropout, unless
        deterministic, draws from the stream named "dropout".
        """
        raise NotImplementedError

    def prefill(
        self,
        input_tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"],
        max_target_tokens: int,
    ) -> tuple[Int[Array, " batch"], DecodeState]:
        """The token before the first target, and the state there."""
        raise NotImplementedError

    def prompted(
        self, input_tokens: Int[Array, "batch length"], segment_ids: Int[Array, "batch length"]
    ) -> tuple[Int[Array, "batch prompted"], Int[Array, "batch prompted"]]:
        """The arguments with the virtual tokens in front."""
        ids = jnp.array(prompt_ids(self.config, self.prompt_length), input_tokens.dtype)
        ids = jnp.broadcast_to(ids, (len(input_tokens), self.prompt_length))
        tokens = jnp.concatenate([ids, input_tokens], axis=1)
        return tokens, jnp.concatenate([jnp.ones_like(ids), segment_ids], axis=1)

    def embed(self, tokens: Int[Array, "rows length"]) -> Float[Array, "rows length embed"]:
        last = self.config.vocab_size - 1
        embedded = self.token_embedder(jnp.minimum(tokens, last))
        if self.prompt_length:
            # A product with a one-hot, because the gradient of a gather is a slow scatter.
            places = jax.nn.one_hot(tokens - last - 1, self.prompt_length)
            virtual = jnp.matmul(places, self.soft_prompt.embedding, precision="highest")
            embedded = jnp.where((tokens > last)[..., None], virtual, embedded)
        return embedded.astype(self.config.dtype)

    def extend(
        self, tokens: Int[Array, "rows new"], state: DecodeState
    ) -> tuple[Float[Array, "rows new vocab"], DecodeState]:
        """Logits of the next targets, given the token before each of them."""
        raise NotImplementedError

    def decode_step(
        self, tokens: Int[Array, " rows"], state: DecodeState
    ) -> tuple[Float[Array, "rows vocab"], DecodeState]:
        """Logits of the next target, given the token before it."""
        logits, state = self.extend(tokens[:, None], state)
        return logits[:, 0], state

    def option_logits(
        self,
        input_tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"],
        options: Int[Array, "batch options targets"],
    ) -> Float[Array, "batch options targets vocab"]:
        """Logits of each option's tokens; the inputs are encoded once for all options."""
        batch, num_options, max_targets = options.shape
        first, state = self.prefill(input_tokens, segment_ids, max_targets)
        first = jnp.broadcast_to(first[:, None, None], (batch, num_options, 1))
        tokens = jnp.concatenate([first, options[:, :, :-1]], axis=-1)
        state = state._replace(past=repeat_rows(state.past, num_options))
        logits, _ = self.extend(tokens.reshape(batch * num_options, max_targets), state)
        return logits.reshape(batch, num_options, max_targets, -1)


def prompt_ids(config: TransformerConfig, prompt_length: int) -> range:
    """The ids of the virtual tokens."""
    return range(config.vocab_size, config.vocab_size + prompt_length)


def repeat_rows(past: Any, times: int) -> Any:
    """Each row `times` times, next to each other."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), past)
