"""The decoder-only model, made of T5's layers: inputs and targets are one sequence."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from tk_instruct.model.config import DecoderConfig
from tk_instruct.model.language_model import DecodeState, LanguageModel, repeat_rows
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
    positions_of,
    same_segment,
    shift_right_within_segments,
    through_layers,
    tied_logits,
)


class Layer(nn.Module):
    config: DecoderConfig

    def setup(self) -> None:
        if self.config.relative_bias_per_layer:
            self.relpos_bias = RelativePositionBias(self.config, bidirectional=False)
        self.pre_self_attention_layer_norm = LayerNorm(self.config)
        self.self_attention = Attention(self.config)
        self.pre_mlp_layer_norm = LayerNorm(self.config)
        self.mlp = Mlp(self.config)
        self.dropout = dropout(self.config.dropout_rate)

    def __call__(
        self,
        inputs: Float[Array, "rows new embed"],
        past: KeysValues | None,
        slot: Int[Array, ""] | int,
        mask: Bool[Array, "#rows 1 new slots"],
        bias: Float[Array, "#rows heads new slots"] | None,
        positions: Positions,
        deterministic: bool,
    ) -> tuple[Float[Array, "rows new embed"], KeysValues]:
        """The outputs, and the inputs' keys and values, written into `past` (if any) at `slot`."""
        normed = self.pre_self_attention_layer_norm(inputs)
        keys_values = self.self_attention.keys_values(normed)
        if past is not None:
            keys_values = past.written(slot, keys_values)
        if bias is None:
            bias = self.relpos_bias(*positions)
        y = self.self_attention(normed, keys_values, mask, bias, deterministic)
        x = inputs + self.dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x), deterministic)
        return x + self.dropout(y, deterministic=deterministic), keys_values


class Stack(nn.Module):
    config: DecoderConfig

    def setup(self) -> None:
        config = self.config
        if not config.relative_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config, bidirectional=False)
        if config.scan_layers:
            self.decoder = Layer(config)
        else:
            self.layers = [Layer(config) for _ in range(config.num_layers)]
        self.decoder_norm = LayerNorm(config)
        self.dropout = dropout(config.dropout_rate)
        if not config.logits_via_embedding:
            self.logits_dense = dense(config.vocab_size, "float32", ("embed", "vocab"))

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
            self.decoder if config.scan_layers else self.layers,
            config,
            config.num_layers,
            lambda layer, x: layer(x, None, 0, mask, bias, positions, deterministic)[0],
            self.dropout(embedded, deterministic=deterministic),
        )
        return self.dropout(self.decoder_norm(x), deterministic=deterministic)

    def extend(
        self,
        embedded: Float[Array, "rows new embed"],
        slot: Int[Array, ""] | int,
        past: tuple[KeysValues | None, ...],
        mask: Bool[Array, "#rows 1 new slots"],
        positions: Positions,
    ) -> tuple[Float[Array, "rows new embed"], tuple[KeysValues, ...]]:
        bias = None if self.config.relative_bias_per_layer else self.relpos_bias(*positions)
        x, written = embedded, []
        for layer, layer_past in zip(self.layers, past, strict=True):
            x, keys_values = layer(x, layer_past, slot, mask, bias, positions, True)
            written.append(keys_values)
        return self.decoder_norm(x), tuple(written)

    def unembed(
        self, x: Float[Array, "rows length embed"], table: Float[Array, "vocab embed"]
    ) -> Float[Array, "rows length vocab"]:
        return tied_logits(x, table) if self.config.logits_via_embedding else self.logits_dense(x)


class Decoder(LanguageModel):
    """A decoder-only model with T5X's parameter names; see DecoderConfig.

    A row holds segments. Each is its inputs with EOS, and then its targets. The model reads a 0
    and then all tokens of the segment but the last.
    """

    config: DecoderConfig

    def setup(self) -> None:
        super().setup()
        self.decoder = Stack(self.config)

    def logits(self, batch: Any, deterministic: bool) -> Float[Array, "batch length vocab"]:
        targets, segment_ids = batch["decoder_target_tokens"], batch["decoder_segment_ids"]
        embedded = self.embed(shift_right_within_segments(targets, segment_ids))
        visible = causal(*positions_of(embedded))
        if self.config.bidirectional_inputs:
            is_input = batch["decoder_causal_attention"] > 0  # T5X's name for the prefix
            visible |= (is_input[:, :, None] & is_input[:, None, :])[:, None]
        mask = same_segment(segment_ids, segment_ids) & visible
        return self._unembed(self.decoder(embedded, mask, deterministic))

    def prefill(
        self,
        input_tokens: Int[Array, "batch length"],
        segment_ids: Int[Array, "batch length"],
        max_target_tokens: int,
    ) -> tuple[Int[Array, " batch"], DecodeState]:
        # The 0 in front needs one slot more than the inputs. The last input is read here, because
        # with bidirectional_inputs the others attend to it. The first `extend` reads it again, to
        # give the logits of the first target. Later targets find it among the targets' slots.
        input_tokens, segment_ids = self.prompted(input_tokens, segment_ids)
        batch, length = input_tokens.shape
        num_inputs = jnp.sum(segment_ids > 0, axis=1)
        tokens = jnp.pad(input_tokens, ((0, 0), (1, 0)))
        slots = jnp.arange(length + 1)[None]
        mask = (slots <= num_inputs[:, None])[:, None, None, :]
        if not self.config.bidirectional_inputs:
            mask &= causal(slots, slots)
        nothing = (None,) * self.config.num_layers
        _, read = self.decoder.extend(self.embed(tokens), 0, nothing, mask, (slots, slots))
        room = ((0, 0), (0, 0), (0, max_target_tokens), (0, 0))
        past = tuple(KeysValues(*(jnp.pad(array, room) for array in layer)) for layer in read)
        last = jnp.take_along_axis(input_tokens, num_inputs[:, None] - 1, axis=1)[:, 0]
        first_slot = jnp.full(batch, length + 1)
        return last, DecodeState(jnp.zeros((), jnp.int32), past, (num_inputs, first_slot))

    def extend(
        self, tokens: Int[Array, "rows new"], state: DecodeState
    ) -> tuple[Float[Array, "rows new vocab"], DecodeState]:
        rows, new = tokens.shape
        num_inputs, first_slot = repeat_rows(state.context, rows // len(state.context[0]))
        num_inputs, first_slot = num_inputs[:, None], first_slot[:, None]
        slots = jnp.arange(state.past[0].keys.shape[2])[None]
        key_positions = jnp.where(slots < first_slot, slots, num_inputs + slots - first_slot)
        query_positions = num_inputs + state.position + jnp.arange(new)[None]
        holds_token = (slots < num_inputs) | (slots >= first_slot)
        mask = causal(query_positions, key_positions) & holds_token[:, None, None, :]
        x, past = self.decoder.extend(
            self.embed(tokens),
            first_slot[0, 0] + state.position,
            state.past,
            mask,
            (query_positions, key_positions),
        )
        return self._unembed(x), state._replace(position=state.position + new, past=past)

    def _unembed(self, x: Float[Array, "rows length embed"]) -> Float[Array, "rows length vocab"]:
        return self.decoder.unembed(x, self.token_embedder.embedding)
