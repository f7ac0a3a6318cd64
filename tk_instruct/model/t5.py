"""The T5 encoder-decoder, for training on (packed) rows and for decoding token by token."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from tk_instruct.model.config import T5Config
from tk_instruct.model.language_model import DecodeState, LanguageModel
from tk_instruct.model.layers import (
    Attention,
    KeysValues,
    LayerNorm,
    Mlp,
    Positions,
    RelativePositionBias,
    causal,
    dense,
    dropout,
    empty_keys_values,
    positions_of,
    same_segment,
    shift_right_within_segments,
    through_layers,
    tied_logits,
)


class EncoderLayer(nn.Module):
    config: T5Config

    def setup(self) -> None:
        if self.config.relative_bias_per_layer:
            self.relpos_bias = RelativePositionBias(self.config, bidirectional=True)
        self.pre_attention_layer_norm = LayerNorm(self.config)
        self.attention = Attention(self.config)
        self.pre_mlp_layer_norm = LayerNorm(self.config)
        self.mlp = Mlp(self.config)
        self.dropout = dropout(self.config.dropout_rate)

    def __call__(
        self,
        inputs: Float[Array, "batch length embed"],
        mask: Bool[Array, "batch 1 length length"],
        bias: Float[Array, "1 heads length length"] | None,
        positions: Positions,
        deterministic: bool,
    ) -> Float[Array, "batch length embed"]:
        if bias is None:
            bias = self.relpos_bias(*positions)
        y = self.pre_attention_layer_norm(inputs)
        y = self.attention(y, self.attention.keys_values(y), mask, bias, deterministic)
        x = inputs + self.dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x), deterministic)
        return x + self.dropout(y, deterministic=deterministic)


class DecoderLayer(nn.Module):
    config: T5Config

    def setup(self) -> None:
        if self.config.relative_bias_per_layer:
            self.relpos_bias = RelativePositionBias(self.config, bidirectional=False)
        self.pre_self_attention_layer_norm = LayerNorm(self.config)
        self.self_attention = Attention(self.config)
        self.pre_cross_attention_layer_norm = LayerNorm(self.config)
        self.encoder_decoder_attention = Attention(self.config)
        self.pre_mlp_layer_norm = LayerNorm(self.config)
        self.mlp = Mlp(self.config)
        self.dropout = dropout(self.config.dropout_rate)

    def __call__(
        self,
        inputs: Float[Array, "batch targets embed"],
        encoded: Float[Array, "batch length embed"],
        self_mask: Bool[Array, "batch 1 targets targets"],
        cross_mask: Bool[Array, "batch 1 targets length"],
        bias: Float[Array, "1 heads targets targets"] | None,
        positions: Positions,
        deterministic: bool,
    ) -> Float[Array, "batch targets embed"]:
        normed = self.pre_self_attention_layer_norm(inputs)
        past = self.self_attention.keys_values(normed)
        cross = self.cross_keys_values(encoded)
        if bias is None:
            bias = self.relpos_bias(*positions)
        return self._attend(inputs, normed, past, cross, self_mask, cross_mask, bias, deterministic)

    def cross_keys_values(self, encoded: Float[Array, "batch length embed"]) -> KeysValues:
        return self.encoder_decoder_attention.keys_values(encoded)

    def extend(
        self,
        inputs: Float[Array, "rows new embed"],
        position: Int[Array, ""],
        past: KeysValues,
        cross: KeysValues,
        self_mask: Bool[Array, "1 1 new max_targets"],
        cross_mask: Bool[Array, "batch 1 1 length"],
        bias: Float[Array, "1 heads new max_targets"] | None,
        positions: Positions,
    ) -> tuple[Float[Array, "rows new embed"], KeysValues]:
        """Outputs of the new positions, from `position` on, and `past` with their keys, values."""
        normed = self.pre_self_attention_layer_norm(inputs)
        past = past.written(position, self.self_attention.keys_values(normed))
        if bias is None:
            bias = self.relpos_bias(*positions)
        x = self._attend(inputs, normed, past, cross, self_mask, cross_mask, bias, True)
        return x, past

    def _attend(
        self,
        inputs: Float[Array, "rows targets embed"],
        normed: Float[Array, "rows targets embed"],
        past: KeysValues,
        cross: KeysValues,
        self_mask: Bool[Array, "#rows 1 targets past"],
        cross_mask: Bool[Array, "batch 1 #targets length"],
        bias: Float[Array, "1 heads targets past"],
        deterministic: bool,
    ) -> Float[Array, "rows targets embed"]:
        y = self.self_attention(normed, past, self_mask, bias, deterministic)
        x = inputs + self.dropout(y, deterministic=deterministic)
        y = self.pre_cross_attention_layer_norm(x)
        # Rows that read the same inputs (beams, options) become more targets of one row.
        y = y.reshape(cross.keys.shape[0], -1, y.shape[-1])
        y = self.encoder_decoder_attention(y, cross, cross_mask, None, deterministic)
        x = x + self.dropout(y.reshape(x.shape), deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x), deterministic)
        return x + self.dropout(y, deterministic=deterministic)


class Encoder(nn.Module):
    config: T5Config

    def setup(self) -> None:
        config = self.config
        if not config.relative_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config, bidirectional=True)
        if config.scan_layers:
            self.encoder = EncoderLayer(config)
        else:
            self.layers = [EncoderLayer(config) for _ in range(config.num_encoder_layers)]
        self.encoder_norm = LayerNorm(config)
        self.dropout = dropout(config.dropout_rate)

    def __call__(
        self,
        embedded: Float[Array, "batch length embed"],
        mask: Bool[Array, "batch 1 length length"],
        deterministic: bool,
    ) -> Float[Array, "batch length embed"]:
        config = self.config
        positions = positions_of(embedded)
        bias = None if config.relative_bias_per_layer else self.relpos_bias(*positions)
        x = through_layers(
            self.encoder if config.scan_layers else self.layers,
            config,
            config.num_encoder_layers,
            lambda layer, x: layer(x, mask, bias, positions, deterministic),
            self.dropout(embedded, deterministic=deterministic),
        )
        return self.dropout(self.encoder_norm(x), deterministic=deterministic)


class Decoder(nn.Module):
    config: T5Config

    def setup(self) -> None:
        config = self.config
        if not config.relative_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        if config.scan_layers:
            self.decoder = DecoderLayer(config)
        else:
            self.layers = [DecoderLayer(config) for _ in range(config.num_decoder_layers)]
        self.decoder_norm = LayerNorm(config)
        self.dropout = dropout(config.dropout_rate)
        if not config.logits_via_embedding:
            self.logits_dense = dense(config.vocab_size, "float32", ("embed", "vocab"))

    def __call__(
        self,
        embedded: Float[Array, "batch targets embed"],
        encoded: Float[Array, "batch length embed"],
        self_mask: Bool[Array, "batch 1 targets targets"],
        cross_mask: Bool[Array, "batch 1 targets length"],
        deterministic: bool,
    ) -> Float[Array, "batch targets embed"]:
        config = self.config
        positions = positions_of(embedded)
        bias = None if config.relative_bias_per_layer else self.relpos_bias(*positions)
        x = through_layers(
            self.decoder if config.scan_layers else self.layers,
            config,
            config.num_decoder_layers,
            lambda layer, x: layer(
                x, encoded, self_mask, cross_mask, bias, positions, deterministic
            ),
            self.dropout(embedded, deterministic=deterministic),
        )
        return self.dropout(self.decoder_norm(x), deterministic=deterministic)

    def cross_keys_values(
        self, encoded: Float[Array, "batch length embed"]
    ) -> tuple[KeysValues, ...]:
        return tuple(layer.cross_keys_values(encoded) for layer in self.layers)

    def extend(
        self,
        embedded: Float[Array, "rows new embed"],
        position: Int[Array, ""],
        past: tuple[KeysValues, ...],
        cross: tuple[KeysValues, ...],
        cross_mask: Bool[Array, "batch 1 1 length"],
    ) -> tuple[Float[Array, "rows new embed"], tuple[KeysValues, ...]]:
        new = position + jnp.arange(embedded.shape[1])
        positions = (new[None], jnp.arange(past[0].keys.shape[2])[None])
        self_mask = causal(*positions)
        bias = None if self.config.relative_bias_per_layer else self.relpos_bias(*positions)
        x, written = embedded, []
        for layer, layer_past, layer_cross in zip(self.layers, past, cross, strict=True):
            x, layer_past = layer.extend(
                x, position, layer_past, layer_cross, self_mask, cross_mask, bias, positions
            )
            written.append(layer_past)
        return self.decoder_norm(x), tuple(written)

    def unembed(
        self, x: Float[Array, "rows targets embed"], table: Float[Array, "vocab embed"]
    ) -> Float[Array, "rows targets vocab"]:
        return tied_logits(x, table) if self.config.logits_via_embedding else self.logits_dense(x)


class T5(LanguageModel):
    """T5 and its descendants (arXiv:1910.10683), with T5X's parameter names and shapes.

    A row can hold several examples (segments), numbered from 1, each contiguous; 0 is padding. A
    target attends to the inputs and to the earlier targets of its own segment. Relative positions
    are differences of indices, so they do not depend on a segment's place in the row.
    """

    config: T5Config

    def setup(self) -> None:
        super().setup()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)

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
        embedded = self.embed(decoder_input_tokens)
        x = self.decoder(
            embedded,
            encoded,
            same_segment(decoder_segment_ids, decoder_segment_ids)
            & causal(*positions_of(embedded)),
            same_segment(decoder_segment_ids, encoder_segment_ids),
            deterministic,
        )
        return self._unembed(x)

    def logits(self, batch: Any, deterministic: bool) -> Float[Array, "batch targets vocab"]:
        targets, segment_ids = batch["decoder_target_tokens"], batch["decoder_segment_ids"]
        return self(
            batch["encoder_input_tokens"],
            shift_right_within_segments(targets, segment_ids),
            encoder_segment_ids=batch["encoder_segment_ids"],
            decoder_segment_ids=segment_ids,
            deterministic=deterministic,
        )

    def encode(
        self,
        tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"],
        deterministic: bool,
    ) -> Float[Array, "batch length embed"]:
        mask = same_segment(segment_ids, segment_ids)
        return self.encoder(self.embed(tokens), mask, deterministic)

    def prefill(
        self,
        input_tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"],
        max_target_tokens: int,
    ) -> tuple[Int[Array, " batch"], DecodeState]:
        input_tokens, segment_ids = self.prompted(input_tokens, segment_ids)
        encoded = self.encode(input_tokens, segment_ids, True)
        cross = self.decoder.cross_keys_values(encoded)
        past = tuple(empty_keys_values(keys_values, max_target_tokens) for keys_values in cross)
        state = DecodeState(jnp.zeros((), jnp.int32), past, (cross, segment_ids))
        return jnp.zeros(len(input_tokens), jnp.int32), state

    def extend(
        self, tokens: Int[Array, "rows new"], state: DecodeState
    ) -> tuple[Float[Array, "rows new vocab"], DecodeState]:
        cross, segment_ids = state.context
        cross_mask = (segment_ids > 0)[:, None, None, :]
        x, past = self.decoder.extend(
            self.embed(tokens), state.position, state.past, cross, cross_mask
        )
        state = state._replace(position=state.position + tokens.shape[1], past=past)
        return self._unembed(x), state

    def _unembed(self, x: Float[Array, "rows targets embed"]) -> Float[Array, "rows targets vocab"]:
        return self.decoder.unembed(x, self.token_embedder.embedding)
