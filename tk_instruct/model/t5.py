"""The T5 encoder-decoder, for training on (packed) rows and for decoding token by token."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from tk_instruct.model.config import T5Config
from tk_instruct.model.layers import (
    Attention,
    GatedMlp,
    KeysValues,
    LayerNorm,
    RelativePositionBias,
    causal,
    dense,
    dropout,
    same_segment,
)


class EncoderLayer(nn.Module):
    config: T5Config

    def setup(self) -> None:
        self.pre_attention_layer_norm = LayerNorm(self.config)
        self.attention = Attention(self.config)
        self.pre_mlp_layer_norm = LayerNorm(self.config)
        self.mlp = GatedMlp(self.config)
        self.dropout = dropout(self.config.dropout_rate)

    def __call__(
        self,
        inputs: Float[Array, "batch length embed"],
        mask: Bool[Array, "batch 1 length length"],
        bias: Float[Array, "1 heads length length"],
        deterministic: bool,
    ) -> Float[Array, "batch length embed"]:
        y = self.pre_attention_layer_norm(inputs)
        y = self.attention(y, self.attention.keys_values(y), mask, bias, deterministic)
        x = inputs + self.dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x), deterministic)
        return x + self.dropout(y, deterministic=deterministic)


class DecoderLayer(nn.Module):
    config: T5Config

    def setup(self) -> None:
        self.pre_self_attention_layer_norm = LayerNorm(self.config)
        self.self_attention = Attention(self.config)
        self.pre_cross_attention_layer_norm = LayerNorm(self.config)
        self.encoder_decoder_attention = Attention(self.config)
        self.pre_mlp_layer_norm = LayerNorm(self.config)
        self.mlp = GatedMlp(self.config)
        self.dropout = dropout(self.config.dropout_rate)

    def __call__(
        self,
        inputs: Float[Array, "batch targets embed"],
        encoded: Float[Array, "batch length embed"],
        self_mask: Bool[Array, "batch 1 targets targets"],
        cross_mask: Bool[Array, "batch 1 targets length"],
        bias: Float[Array, "1 heads targets targets"],
        deterministic: bool,
    ) -> Float[Array, "batch targets embed"]:
        normed = self.pre_self_attention_layer_norm(inputs)
        past = self.self_attention.keys_values(normed)
        cross = self.cross_keys_values(encoded)
        return self._attend(inputs, normed, past, cross, self_mask, cross_mask, bias, deterministic)

    def cross_keys_values(self, encoded: Float[Array, "batch length embed"]) -> KeysValues:
        return self.encoder_decoder_attention.keys_values(encoded)

    def step(
        self,
        inputs: Float[Array, "batch 1 embed"],
        position: Int[Array, ""],
        past: KeysValues,
        cross: KeysValues,
        self_mask: Bool[Array, "1 1 1 max_targets"],
        cross_mask: Bool[Array, "batch 1 1 length"],
        bias: Float[Array, "1 heads 1 max_targets"],
    ) -> tuple[Float[Array, "batch 1 embed"], KeysValues]:
        """One position; returns its output and `past` with its keys and values written in."""
        normed = self.pre_self_attention_layer_norm(inputs)
        new = self.self_attention.keys_values(normed)
        past = KeysValues(
            *(
                jax.lax.dynamic_update_slice_in_dim(all_, one, position, axis=2)
                for all_, one in zip(past, new, strict=True)
            )
        )
        x = self._attend(inputs, normed, past, cross, self_mask, cross_mask, bias, True)
        return x, past

    def _attend(
        self,
        inputs: Float[Array, "batch targets embed"],
        normed: Float[Array, "batch targets embed"],
        past: KeysValues,
        cross: KeysValues,
        self_mask: Bool[Array, "#batch 1 targets past"],
        cross_mask: Bool[Array, "batch 1 targets length"],
        bias: Float[Array, "1 heads targets past"],
        deterministic: bool,
    ) -> Float[Array, "batch targets embed"]:
        y = self.self_attention(normed, past, self_mask, bias, deterministic)
        x = inputs + self.dropout(y, deterministic=deterministic)
        y = self.pre_cross_attention_layer_norm(x)
        y = self.encoder_decoder_attention(y, cross, cross_mask, None, deterministic)
        x = x + self.dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x), deterministic)
        return x + self.dropout(y, deterministic=deterministic)


class Encoder(nn.Module):
    config: T5Config

    def setup(self) -> None:
        config = self.config
        self.relpos_bias = RelativePositionBias(config, bidirectional=True)
        self.layers = [EncoderLayer(config) for _ in range(config.num_encoder_layers)]
        self.encoder_norm = LayerNorm(config)
        self.dropout = dropout(config.dropout_rate)

    def __call__(
        self,
        embedded: Float[Array, "batch length embed"],
        mask: Bool[Array, "batch 1 length length"],
        deterministic: bool,
    ) -> Float[Array, "batch length embed"]:
        positions = jnp.arange(embedded.shape[1])
        bias = self.relpos_bias(positions, positions)
        x = self.dropout(embedded, deterministic=deterministic)
        for layer in self.layers:
            x = layer(x, mask, bias, deterministic)
        return self.dropout(self.encoder_norm(x), deterministic=deterministic)


class Decoder(nn.Module):
    config: T5Config

    def setup(self) -> None:
        config = self.config
        self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        self.layers = [DecoderLayer(config) for _ in range(config.num_decoder_layers)]
        self.decoder_norm = LayerNorm(config)
        self.logits_dense = dense(config.vocab_size, "float32", ("embed", "vocab"))
        self.dropout = dropout(config.dropout_rate)

    def __call__(
        self,
        embedded: Float[Array, "batch targets embed"],
        encoded: Float[Array, "batch length embed"],
        self_mask: Bool[Array, "batch 1 targets targets"],
        cross_mask: Bool[Array, "batch 1 targets length"],
        deterministic: bool,
    ) -> Float[Array, "batch targets vocab"]:
        positions = jnp.arange(embedded.shape[1])
        bias = self.relpos_bias(positions, positions)
        x = self.dropout(embedded, deterministic=deterministic)
        for layer in self.layers:
            x = layer(x, encoded, self_mask, cross_mask, bias, deterministic)
        x = self.dropout(self.decoder_norm(x), deterministic=deterministic)
        return self.logits_dense(x)

    def cross_keys_values(
        self, encoded: Float[Array, "batch length embed"]
    ) -> tuple[KeysValues, ...]:
        return tuple(layer.cross_keys_values(encoded) for layer in self.layers)

    def step(
        self,
        embedded: Float[Array, "batch 1 embed"],
        position: Int[Array, ""],
        past: tuple[KeysValues, ...],
        cross: tuple[KeysValues, ...],
        cross_mask: Bool[Array, "batch 1 1 length"],
    ) -> tuple[Float[Array, "batch 1 vocab"], tuple[KeysValues, ...]]:
        positions = jnp.arange(past[0].keys.shape[2])
        self_mask = causal(position[None], positions)
        bias = self.relpos_bias(position[None], positions)
        x, written = embedded, []
        for layer, layer_past, layer_cross in zip(self.layers, past, cross, strict=True):
            x, layer_past = layer.step(
                x, position, layer_past, layer_cross, self_mask, cross_mask, bias
            )
            written.append(layer_past)
        return self.logits_dense(self.decoder_norm(x)), tuple(written)


class T5(nn.Module):
    """T5 1.1 (arXiv:1910.10683, arXiv:2002.05202), with T5X's parameter names and shapes.

    Rows may hold several examples (segments), numbered from 1 and each contiguous; 0 is padding.
    A target attends to the inputs and the earlier targets of its own segment. Relative positions
    are differences of indices, which are the same inside a segment wherever it lies in the row.
    """

    config: T5Config

    def setup(self) -> None:
        config = self.config
        embedding_init = nn.with_logical_partitioning(
            nn.initializers.normal(1.0), ("vocab", "embed")
        )
        self.token_embedder = nn.Embed(
            config.vocab_size, config.d_model, embedding_init=embedding_init
        )
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def __call__(
        self,
        encoder_input_tokens: Int[Array, "batch length"],
        decoder_input_tokens: Int[Array, "batch targets"],
        *,
        encoder_segment_ids: Int[Array, "batch length"],
        decoder_segment_ids: Int[Array, "batch targets"],
        deterministic: bool,
    ) -> Float[Array, "batch targets vocab"]:
        """Float32 logits of each target given the inputs and the targets before it.

        Dropout, unless deterministic, draws from the stream named "dropout".
        """
        encoded = self.encode(encoder_input_tokens, encoder_segment_ids, deterministic)
        positions = jnp.arange(decoder_input_tokens.shape[1])
        self_mask = same_segment(decoder_segment_ids, decoder_segment_ids)
        return self.decoder(
            self._embed(decoder_input_tokens),
            encoded,
            self_mask & causal(positions, positions),
            same_segment(decoder_segment_ids, encoder_segment_ids),
            deterministic,
        )

    def encode(
        self,
        tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"],
        deterministic: bool,
    ) -> Float[Array, "batch length embed"]:
        mask = same_segment(segment_ids, segment_ids)
        return self.encoder(self._embed(tokens), mask, deterministic)

    def cross_keys_values(
        self, encoded: Float[Array, "batch length embed"]
    ) -> tuple[KeysValues, ...]:
        """What each decoder layer attends to in the encoder's output: computed once a row."""
        return self.decoder.cross_keys_values(encoded)

    def decode_step(
        self,
        tokens: Int[Array, " batch"],
        position: Int[Array, ""],
        past: tuple[KeysValues, ...],
        cross: tuple[KeysValues, ...],
        encoder_segment_ids: Int[Array, "batch length"],
    ) -> tuple[Float[Array, "batch vocab"], tuple[KeysValues, ...]]:
        """Logits of the target at `position`, given the token before it.

        One example a row. `past` holds the self-attention keys and values of the positions
        before, in arrays as long as the longest target; it comes back with this one written.
        """
        embedded = self._embed(tokens[:, None])
        cross_mask = (encoder_segment_ids > 0)[:, None, None, :]
        logits, past = self.decoder.step(embedded, position, past, cross, cross_mask)
        return logits[:, 0], past

    def _embed(self, tokens: Int[Array, "batch length"]) -> Float[Array, "batch length embed"]:
        return self.token_embedder(tokens).astype(self.config.dtype)
