"""The parts of a T5 layer, with the parameter names, shapes and initialisers of T5X."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from tk_instruct.model.config import TransformerConfig

_MASKED_LOGIT = -1e10  # finite, so a row without any key gives no NaN

_normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
_truncated_normal = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class KeysValues(NamedTuple):
    """Projected keys and values of one attention."""

    keys: Float[Array, "batch heads length head_dim"]
    values: Float[Array, "batch heads length head_dim"]

    def written(self, position: Int[Array, ""] | int, new: "KeysValues") -> "KeysValues":
        """A copy in which the new ones replace those from `position` on."""
        return KeysValues(
            *(
                jax.lax.dynamic_update_slice_in_dim(all_, some, position, axis=2)
                for all_, some in zip(self, new, strict=True)
            )
        )


def empty_keys_values(like: KeysValues, length: int) -> KeysValues:
    """Zeros with the shape of `like`, but of another length."""
    return KeysValues(
        *(jnp.zeros((*array.shape[:2], length, array.shape[-1]), array.dtype) for array in like)
    )


# The positions of the queries and of the keys, each [rows, length]; one row if all are equal.
Positions = tuple[Int[Array, "rows queries"], Int[Array, "rows keys"]]


def positions_of(embedded: Float[Array, "batch length embed"]) -> Positions:
    """The positions for self-attention."""
    positions = jnp.arange(embedded.shape[1])[None]
    return positions, positions


def same_segment(
    query_segment_ids: Int[Array, "batch queries"], key_segment_ids: Int[Array, "batch keys"]
) -> Bool[Array, "batch 1 queries keys"]:
    """True where a query may attend to a key: the same segment, and not padding (0)."""
    queries, keys = query_segment_ids[:, None, :, None], key_segment_ids[:, None, None, :]
    return (queries == keys) & (keys > 0)


def causal(
    query_positions: Int[Array, "rows queries"], key_positions: Int[Array, "rows keys"]
) -> Bool[Array, "rows 1 queries keys"]:
    """True where a key is not after the query."""
    return (key_positions[:, None, :] <= query_positions[:, :, None])[:, None]


def shift_right_within_segments(
    targets: Int[Array, "batch length"], segment_ids: Int[Array, "batch length"]
) -> Int[Array, "batch length"]:
    """The decoder's inputs: in each segment a 0, then all targets but the last; padding is 0."""
    previous_targets, previous_ids = (
        jnp.pad(x[:, :-1], ((0, 0), (1, 0))) for x in (targets, segment_ids)
    )
    return jnp.where((segment_ids == previous_ids) & (segment_ids > 0), previous_targets, 0)


def distance_buckets(num_buckets: int, max_distance: int) -> np.ndarray:
    """Bucket of each distance 0, 1, … max_distance; larger distances share the last bucket.

    Half of the buckets hold one distance each, the others are spaced logarithmically
    (arXiv:1910.10683, section 2.1). Computed in float64 on the host, because the approximate
    logarithm of a device could put a distance into another bucket.
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
    # One product of two matrices. With more axes XLA first copies the gradients to a transposed
    # layout, and the backward pass on a CPU takes 1.6 times as long.
    rows = inputs.reshape(-1, inputs.shape[-1]) @ kernel
    return rows.reshape(*inputs.shape[:-1], kernel.shape[-1])


def embedder(num_tokens: int, d_model: int, axis: str) -> Any:
    """A table of token embeddings; `axis` is the logical name of its first axis."""
    init = nn.with_logical_partitioning(nn.initializers.normal(1.0), (axis, "embed"))
    return nn.Embed(num_tokens, d_model, embedding_init=init)


def tied_logits(
    x: Float[Array, "rows length embed"], table: Float[Array, "vocab embed"]
) -> Float[Array, "rows length vocab"]:
    """T5 1.0's output layer: the embeddings, scaled (in float32)."""
    return _product_of_rows(x.astype(jnp.float32), table.T) / np.sqrt(table.shape[1])


def dropout(rate: float) -> Any:
    """T5's dropout: one mask for all positions (axis -2) of a row."""
    return nn.Dropout(rate, broadcast_dims=(-2,))


class LayerNorm(nn.Module):
    """Division by the root mean square over the last axis, then a learnt scale."""

    config: TransformerConfig

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

    config: TransformerConfig
    bidirectional: bool

    @nn.compact
    def __call__(
        self, query_positions: Int[Array, "rows queries"], key_positions: Int[Array, "rows keys"]
    ) -> Float[Array, "rows heads queries keys"]:
        num_buckets = self.config.relative_attention_num_buckets
        max_distance = self.config.relative_attention_max_distance
        init = nn.with_logical_partitioning(
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            ("heads", "relpos_buckets"),
        )
        shape = (self.config.num_heads, num_buckets)
        rel_embedding = self.param("rel_embedding", init, shape, jnp.float32)

        behind = query_positions[:, :, None] - key_positions[:, None, :]
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
        return jnp.einsum("hn,nbqk->bhqk", rel_embedding, one_hot)


@jax.custom_vjp
def attend(
    queries: Float[Array, "batch heads queries head_dim"],
    keys: Float[Array, "batch heads keys head_dim"],
    values: Float[Array, "batch heads keys head_dim"],
    mask: Bool[Array, "#batch 1 #queries keys"],
    bias: Float[Array, "#batch heads queries keys"] | None,
) -> Float[Array, "batch heads queries head_dim"]:
    """softmax(queries keysᵀ + bias) values, where mask is True; the softmax is in float32.

    The derivative is written out because XLA's is slow on a CPU. That of the softmax uses the
    outputs instead of another pass over the weights (as in arXiv:2205.14135, appendix B.2). Matrix
    products transpose no large operand. The gradient of the bias is summed over the batch by a
    product, because a reduction over a leading axis takes ten times as long.
    """
    return _attend_forward(queries, keys, values, mask, bias)[0]


def _attend_forward(
    queries: Array, keys: Array, values: Array, mask: Array, bias: Array | None
) -> tuple[Array, tuple]:
    logits = _product(queries, keys, -1, -1)
    if bias is not None:
        logits = logits + bias
    weights = jax.nn.softmax(jnp.where(mask, logits, _MASKED_LOGIT)).astype(values.dtype)
    outputs = _product(weights, values, -1, -2).astype(values.dtype)
    return outputs, (queries, keys, values, bias, weights, outputs)


def _attend_backward(
    saved: tuple, gradient: Array
) -> tuple[Array, Array, Array, None, Array | None]:
    queries, keys, values, bias, weights, outputs = saved
    mean = jnp.sum(gradient.astype(jnp.float32) * outputs, axis=-1, keepdims=True)
    by_logit = weights * (_product(gradient, values, -1, -1) - mean)
    by_bias = None
    if bias is not None:
        by_bias = _sum_rows(by_logit) if bias.shape[0] == 1 else by_logit
    by_logit = by_logit.astype(queries.dtype)
    # Transpose the small operands. Without the barriers XLA would transpose the weights instead.
    small = jax.lax.optimization_barrier((queries.swapaxes(-1, -2), gradient.swapaxes(-1, -2)))
    by_key_and_value = jax.lax.optimization_barrier(
        (_product(small[0], by_logit, -1, -2), _product(small[1], weights, -1, -2))
    )
    by_key, by_value = (x.swapaxes(-1, -2).astype(keys.dtype) for x in by_key_and_value)
    by_query = _product(by_logit, keys, -1, -2).astype(queries.dtype)
    return by_query, by_key, by_value, None, by_bias


def _product(x: Array, y: Array, x_axis: int, y_axis: int) -> Array:
    """Matrix products for each row and head, contracted over one axis of each, in float32."""
    axes = ((x.ndim + x_axis,), (y.ndim + y_axis,))
    return jax.lax.dot_general(x, y, (axes, ((0, 1), (0, 1))), preferred_element_type=jnp.float32)


def _sum_rows(x: Float[Array, "batch ..."]) -> Float[Array, "1 ..."]:
    rows = x.reshape(x.shape[0], -1)
    return (jnp.ones((1, x.shape[0]), x.dtype) @ rows).reshape(1, *x.shape[1:])


attend.defvjp(_attend_forward, _attend_backward)


class Attention(nn.Module):
    """Multi-head attention. The logits are not scaled; the initialiser of the query is."""

    config: TransformerConfig

    def setup(self) -> None:
        config = self.config
        joined = config.num_heads * config.head_dim
        axes = ("embed", "joined_kv")
        scaled_normal = nn.initializers.variance_scaling(1 / config.head_dim, "fan_in", "normal")
        self.query = dense(joined, config.dtype, axes, scaled_normal)
        self.key = dense(joined, config.dtype, axes, _normal)
        self.value = dense(joined, config.dtype, axes, _normal)
        self.out = dense(config.d_model, config.dtype, ("joined_kv", "embed"), _normal)
        self.dropout = nn.Dropout(config.dropout_rate, broadcast_dims=(-1,))

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
        mask: Bool[Array, "#batch 1 #queries keys"],
        bias: Float[Array, "#batch heads queries keys"] | None,
        deterministic: bool,
    ) -> Float[Array, "batch queries embed"]:
        queries = self._heads(self.query(inputs))
        # T5 drops the same keys for all queries. Dropping their values is equal, and smaller.
        values = self.dropout(keys_values.values, deterministic=deterministic)
        x = attend(queries, keys_values.keys, values, mask, bias).transpose(0, 2, 1, 3)
        return self.out(x.reshape(*x.shape[:2], -1))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: nn.gelu(x, approximate=True),
    "linear": lambda x: x,
    "relu": nn.relu,
}


class Mlp(nn.Module):
    """wo(a(wi_0 x) · b(wi_1 x)) with the activations a and b, or wo(a(wi x)) with only one."""

    config: TransformerConfig

    def setup(self) -> None:
        config = self.config
        names = ["wi", *(f"wi_{i}" for i in range(len(config.mlp_activations)))]
        names = names[:1] if len(config.mlp_activations) == 1 else names[1:]
        for name in names:
            setattr(self, name, dense(config.d_ff, config.dtype, ("embed", "mlp")))
        self.projections = names
        self.wo = dense(config.d_model, config.dtype, ("mlp", "embed"))
        self.dropout = dropout(config.dropout_rate)

    def __call__(
        self, inputs: Float[Array, "batch length embed"], deterministic: bool
    ) -> Float[Array, "batch length embed"]:
        x = jnp.ones((), self.config.dtype)
        for name, activation in zip(self.projections, self.config.mlp_activations, strict=True):
            x = x * _ACTIVATIONS[activation](getattr(self, name)(inputs))
        return self.wo(self.dropout(x, deterministic=deterministic))


def through_layers(
    layers: Any,
    config: TransformerConfig,
    num_layers: int,
    call: Callable[[Any, Array], Array],
    x: Float[Array, "batch length embed"],
) -> Float[Array, "batch length embed"]:
    """Applies call(layer, x) for each layer, with config's rematerialisation and scan.

    `layers` are the modules. With scan_layers they are one module, whose parameters get an axis of
    layers at position 1, as in T5X's scalable_t5.
    """
    if config.remat != "none":
        policy = getattr(jax.checkpoint_policies, config.remat, None)  # "full" has no policy
        call = nn.remat(call, policy=policy, prevent_cse=not config.scan_layers)

    def along(layer: Any, x: Array) -> Array:
        # Between layers the rows keep the sharding of the batch, for any sharding of parameters.
        return nn.with_logical_constraint(
            call(layer, x),
            ("batch", "length", "residual"),
            fallback=nn.spmd.RulesFallback.RAISE_ERROR,
        )

    if not config.scan_layers:
        for layer in layers:
            x = along(layer, x)
        return x
    scanned = nn.scan(
        lambda layer, x, _: (along(layer, x), None),
        variable_axes={"params": 1},
        split_rngs={"params": True, "dropout": True},
        length=num_layers,
        metadata_params={nn.PARTITION_NAME: "layers"},
    )
    return scanned(layers, x, None)[0]
