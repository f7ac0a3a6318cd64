"""Sizes and variants of the models."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tk_instruct.errors import UserError
from tk_instruct.ranges import check_number, check_whole

ACTIVATION_DTYPES = ("float32", "bfloat16")
MLP_ACTIVATIONS = ("gelu", "linear", "relu")
# A few times the sizes of the largest published models. Larger ones are typing errors, and would
# fill the memory.
_MOST_LAYERS = 1024
MOST = {
    "vocab_size": 2**22,
    "d_model": 2**17,
    "num_heads": 2**12,
    "head_dim": 2**12,
    "d_ff": 2**20,
    "num_encoder_layers": _MOST_LAYERS,
    "num_decoder_layers": _MOST_LAYERS,
    "num_layers": _MOST_LAYERS,
}
# The names of jax.checkpoint_policies where there is one.
REMATERIALISATIONS = ("none", "full", "dots_saveable", "dots_with_no_batch_dims_saveable")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The sizes and variants of T5's layers, for every architecture.

    Attributes:
        d_model: width of the residual stream.
        d_ff: width of each input projection of a feed-forward block.
        mlp_activations: one activation for each input projection; their results are multiplied.
            ("relu",) in T5 1.0, ("gelu", "linear") since T5 1.1 (arXiv:2002.05202).
        logits_via_embedding: the output layer is the embedding table divided by sqrt(d_model), as
            in T5 1.0.
        relative_bias_per_layer: each layer has a table of relative positions, as in umT5
            (arXiv:2304.09151). In T5 the layers of a stack share one table.
        relative_attention_num_buckets: buckets of distances; half are single distances, the rest
            are spaced logarithmically up to relative_attention_max_distance (tokens).
        dtype: type of the activations; parameters, statistics, softmax and logits are float32.
        scan_layers: stacks the parameters of all layers, and compiles one layer instead of all.
        remat: which activations the forward pass stores for the backward pass: all ("none"), the
            input of each layer ("full"), or that and what the policy of that name saves.

    Raises:
        UserError: a size that no model can have.
    """

    vocab_size: int
    d_model: int
    num_heads: int
    head_dim: int = 64
    d_ff: int
    mlp_activations: tuple[str, ...] = ("gelu", "linear")
    logits_via_embedding: bool = False
    relative_bias_per_layer: bool = False
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.0
    dtype: str = "float32"
    layer_norm_epsilon: float = 1e-6
    scan_layers: bool = False
    remat: str = "none"

    def __post_init__(self) -> None:
        # Gin and JSON give lists.
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
        for name in self._sizes():
            check_whole(name, getattr(self, name), 1, MOST[name])
        if not self.mlp_activations or set(self.mlp_activations) - set(MLP_ACTIVATIONS):
            raise UserError(
                f"mlp_activations={self.mlp_activations} must be of {', '.join(MLP_ACTIVATIONS)}; "
                "try ('gelu', 'linear'), or ('relu',) for T5 1.0"
            )
        for name in ("relative_attention_num_buckets", "relative_attention_max_distance"):
            check_whole(name, getattr(self, name), 1, 2**20)
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
        check_number("dropout_rate", self.dropout_rate, "[0, 1)", try_=0.1)
        check_number("layer_norm_epsilon", self.layer_norm_epsilon, "(0, 1)", try_=1e-6)
        for name, known in (("dtype", ACTIVATION_DTYPES), ("remat", REMATERIALISATIONS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name}={getattr(self, name)!r} must be one of {', '.join(known)}")

    def _sizes(self) -> tuple[str, ...]:
        return ("vocab_size", "d_model", "num_heads", "head_dim", "d_ff")


@dataclass(frozen=True, kw_only=True)
class T5Config(TransformerConfig):
    """An encoder-decoder: T5 1.0, T5 1.1, LM-adapted T5, Flan-T5, mT5, umT5, ByT5."""

    num_encoder_layers: int
    num_decoder_layers: int

    def _sizes(self) -> tuple[str, ...]:
        return (*super()._sizes(), "num_encoder_layers", "num_decoder_layers")


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(TransformerConfig):
    """A decoder without encoder, made of T5's layers, as LaMDA (arXiv:2201.08239, section 3).

    Attributes:
        bidirectional_inputs: inputs attend to each other in both directions (a prefix language
            model, arXiv:1910.10683, section 3.2.1). If False, each token attends to earlier ones.
    """

    num_layers: int
    bidirectional_inputs: bool = True

    def _sizes(self) -> tuple[str, ...]:
        return (*super()._sizes(), "num_layers")


def config_from_fields(given: Mapping[str, Any]) -> T5Config | DecoderConfig:
    """The configuration from its dataclasses.asdict, which a checkpoint keeps."""
    from tk_instruct import schema

    kind: type[T5Config | DecoderConfig] = DecoderConfig if "num_layers" in given else T5Config
    unknown = sorted(set(given) - {field.name for field in fields(kind)})
    if unknown:
        raise UserError(
            f"{', '.join(unknown)} is no field of {kind.__name__}; the checkpoint is of another "
            "version of tk_instruct: use that one"
        )
    return schema.convert(given, kind, "the checkpoint's model", "it is damaged: take another copy")
