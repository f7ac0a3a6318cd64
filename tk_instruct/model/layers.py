"""The parts of a T5 layer, with the parameter names, shapes and initialisers of T5X."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from tk_instruct.model.config import T5Config

_MASKED_LOGIT = -1e10  # finite: a row that may attend to nothing stays free of NaN

_normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
_truncated_normal = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class KeysValues(NamedTuple):
    """Projected keys and values of one attention."""

    keys: Float[Array, "batch heads length head_dim"]
    values: Float[Array, "batch heads length head_dim"]


def same_segment(
    query_segment_ids: Int[Array, "batch queries"], key_segment_ids: Int[Array, "batch keys"]
) -> Bool[Array, "batch 1 queries keys"]:
    """True where a query may attend to a key: the same segment, and not padding (0)."""
    queries, keys = query_segment_ids[:, None, :, None], key_segment_ids[:, None, None, :]
    return (queries == keys) & (keys > 0)


def causal(
    query_positions: Int[Array, " queries"], key_positions: Int[Array, " keys"]
) -> Bool[Array, "1 1 queries keys"]:
    """True where a key is not after the query."""
    return (key_positions[None, :] <= query_positions[:, None])[None, None]


def distance_buckets(num_buckets: int, max_distance: int) -> np.ndarray:
    """Bucket of each distance 0, 1, … max_distance; larger distances share the last bucket.

    Half of the buckets hold one distance each, the others are spaced logarithmically
    (arXiv:1910.10683, section 2.1). Made on the host in float64, so that a device's
    approximate logarithm cannot move a distance over a boundary.
    """
    near = num_buckets // 2
    distances = np.arange(max_distance + 1)
    octaves = np.log(np.maximum(distances, 1) / near + 1e-7) / np.log(max_distance / near)
    far = near + (octaves * (num_buckets - near)).astype(np.int32)
    return np.where(distances < near, distances, np.minimum(far, num_buckets - 1))


def dense(features: int, dtype: str, axes: tuple[str, str], init: Any = _truncated_normal) -> Any:
    """A matrix product without bias, its kernel annotated with logical axis names."""
    return nn.Dense(
        features,
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.with_logical_partitioning(init, axes),
        dot_general=_product_of_rows,
    )


def _product_of_rows(inputs: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    # As one product of two matrices: with more axes, XLA copies the gradients to a transposed
    # layout first, which makes the backward pass on a CPU 1.6 times slower.
    rows = inputs.reshape(-1, inputs.shape[-1]) @ kernel
    return rows.reshape(*inputs.shape[:-1], kernel.shape[-1])


def dropout(rate: float) -> Any:
    """T5's dropout: one mask for all positions (axis -2) of a row."""
    return nn.Dropout(rate, broadcast_dims=(-2,))


class LayerNorm(nn.Module):
    """Division by the root mean square over the last axis, then a learnt scale."""

    config: T5Config

    @nn.compact
    def __call__(self, inputs: Float[Array, "... embed"]) -> Float[Array, "... embed"]:
        init = nn.with_logical_partitioning(nn.initializers.ones, ("embed",))
        scale: Any = self.param("scale", init, (inputs.shape[-1],), jnp.float32)
        x = inputs.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(mean_square + self.config.layer_norm_epsilon)
        return (x * scale).astype(self.config.dtype)


class RelativePositionBias(nn.Module):
    """A learnt number per head and bucket of (key position - query position)."""

    config: T5Config
    bidirectional: bool

    @nn.compact
    def __call__(
        self, query_positions: Int[Array, " queries"], key_positions: Int[Array, " keys"]
    ) -> Float[Array, "1 heads queries keys"]:
        num_buckets = self.config.relative_attention_num_buckets
        max_distance = self.config.relative_attention_max_distance
        init = nn.with_logical_partitioning(
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            ("heads", "relpos_buckets"),
        )
        shape = (self.config.num_heads, num_buckets)
        rel_embedding = self.param("rel_embedding", init, shape, jnp.float32)

        behind = query_positions[:, None] - key_positions[None, :]
        if self.bidirectional:
            table = distance_buckets(num_buckets // 2, max_distance)
            first = jnp.where(behind < 0, num_buckets // 2, 0)
            distance = jnp.abs(behind)
        else:
            table = distance_buckets(num_buckets, max_distance)
            first = jnp.zeros((), jnp.int32)
            distance = jnp.maximum(behind, 0)
        bucket = jnp.asarray(table)[jnp.minimum(distance, max_distance)] + first
        # A product with a one-hot, because the gradient of a gather is a slow scatter.
        one_hot = jax.nn.one_hot(bucket, num_buckets, axis=0)
        return jnp.einsum("hn,nqk->hqk", rel_embedding, one_hot)[None]


@jax.custom_vjp
def _add_to_rows(
    logits: Float[Array, "batch heads queries keys"], bias: Float[Array, "1 heads queries keys"]
) -> Float[Array, "batch heads queries keys"]:
    """Their sum, its gradient summed over the batch by a matrix product.

    XLA's reduction over a leading axis takes ten times as long on a CPU, and was most of a step.
    """
    return logits + bias


def _add_to_rows_forward(logits: Array, bias: Array) -> tuple[Array, None]:
    return logits + bias, None


def _add_to_rows_backward(_: None, gradient: Array) -> tuple[Array, Array]:
    over_batch = jnp.ones((1, gradient.shape[0]), gradient.dtype) @ gradient.reshape(
        gradient.shape[0], -1
    )
    return gradient, over_batch.reshape(1, *gradient.shape[1:])


_add_to_rows.defvjp(_add_to_rows_forward, _add_to_rows_backward)


class Attention(nn.Module):
    """Multi-head attention; logits are not scaled, the query's initialiser is."""

    config: T5Config

    def setup(self) -> None:
        config = self.config
        joined = config.num_heads * config.head_dim
        axes = ("embed", "joined_kv")
        scaled_normal = nn.initializers.variance_scaling(1 / config.head_dim, "fan_in", "normal")
        self.query = dense(joined, config.dtype, axes, scaled_normal)
        self.key = dense(joined, config.dtype, axes, _normal)
        self.value = dense(joined, config.dtype, axes, _normal)
        self.out = dense(config.d_model, config.dtype, ("joined_kv", "embed"), _normal)
        self.dropout = dropout(config.dropout_rate)

    def _heads(
        self, x: Float[Array, "batch length joined_kv"]
    ) -> Float[Array, "batch heads length head_dim"]:
        x = x.reshape(*x.shape[:2], self.config.num_heads, self.config.head_dim)
        return x.transpose(0, 2, 1, 3)

    def keys_values(self, inputs: Float[Array, "batch length embed"]) -> KeysValues:
        return KeysValues(self._heads(self.key(inputs)), self._heads(self.value(inputs)))

    def __call__(
        self,
        inputs: Float[Array, "batch queries embed"],
        keys_values: KeysValues,
        mask: Bool[Array, "#batch 1 queries keys"],
        bias: Float[Array, "1 heads queries keys"] | None,
        deterministic: bool,
    ) -> Float[Array, "batch queries embed"]:
        queries = self._heads(self.query(inputs))
        logits = jnp.einsum(
            "bhqd,bhkd->bhqk", queries, keys_values.keys, preferred_element_type=jnp.float32
        )
        if bias is not None:
            logits = _add_to_rows(logits, bias)
        weights = jax.nn.softmax(jnp.where(mask, logits, _MASKED_LOGIT))
        weights = self.dropout(weights.astype(self.config.dtype), deterministic=deterministic)
        x = (weights @ keys_values.values).transpose(0, 2, 1, 3)
        return self.out(x.reshape(*x.shape[:2], -1))


class GatedMlp(nn.Module):
    """wo(gelu(wi_0 x) · wi_1 x), with the tanh approximation of GELU."""

    config: T5Config

    def setup(self) -> None:
        config = self.config
        self.wi_0 = dense(config.d_ff, config.dtype, ("embed", "mlp"))
        self.wi_1 = dense(config.d_ff, config.dtype, ("embed", "mlp"))
        self.wo = dense(config.d_model, config.dtype, ("mlp", "embed"))
        self.dropout = dropout(config.dropout_rate)

    def __call__(
        self, inputs: Float[Array, "batch length embed"], deterministic: bool
    ) -> Float[Array, "batch length embed"]:
        x = nn.gelu(self.wi_0(inputs), approximate=True) * self.wi_1(inputs)
        return self.wo(self.dropout(x, deterministic=deterministic))
