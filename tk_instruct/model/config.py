"""Sizes of a T5 model."""

from dataclasses import dataclass

from tk_instruct.errors import UserError

ACTIVATION_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """A T5 1.1 encoder-decoder (arXiv:2002.05202: gated GELU, untied logits, no biases).

    Attributes:
        d_model: width of the residual stream.
        d_ff: width of each of the two gated projections of a feed-forward block.
        relative_attention_num_buckets: buckets of distances; half are single distances, the rest
            are spaced logarithmically up to relative_attention_max_distance (tokens).
        dtype: of the activations; parameters, statistics, softmax and logits are float32.

    Raises:
        UserError: a size that no model can have.
    """

    vocab_size: int
    d_model: int
    num_heads: int
    head_dim: int = 64
    num_encoder_layers: int
    num_decoder_layers: int
    d_ff: int
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.0
    dtype: str = "float32"
    layer_norm_epsilon: float = 1e-6

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "d_model",
            "num_heads",
            "head_dim",
            "num_encoder_layers",
            "num_decoder_layers",
            "d_ff",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be positive; try 1 or more")
        buckets = self.relative_attention_num_buckets
        if buckets < 4 or buckets % 4:
            raise UserError(
                f"relative_attention_num_buckets={buckets} must be a positive multiple of 4 "
                "(two directions, near and far); try 32"
            )
        if self.relative_attention_max_distance <= buckets // 2:
            raise UserError(
                f"relative_attention_max_distance={self.relative_attention_max_distance} must "
                f"exceed half of the {buckets} buckets; try {4 * buckets}"
            )
        if not 0 <= self.dropout_rate < 1:
            raise UserError(f"dropout_rate={self.dropout_rate} must be in [0, 1); try 0.1")
        if self.dtype not in ACTIVATION_DTYPES:
            raise UserError(f"dtype={self.dtype!r} must be one of {', '.join(ACTIVATION_DTYPES)}")
        if self.layer_norm_epsilon <= 0:
            raise UserError(
                f"layer_norm_epsilon={self.layer_norm_epsilon} must be positive; try 1e-6"
            )
