"""Finds the model of a checkpoint by its shapes; says what differs if the shapes are wrong."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from tk_instruct.convert.tensors import BIAS, Checkpoint
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config

Shape = tuple[int, ...]

_SIZES = {512: "small", 768: "base", 1024: "large", 2048: "XL", 4096: "XXL"}
# The fields that decide shapes and names, the most telling first.
_DECISIVE = (
    "d_model",
    "num_layers",
    "num_encoder_layers",
    "num_decoder_layers",
    "d_ff",
    "num_heads",
    "head_dim",
    "vocab_size",
    "mlp_activations",
    "logits_via_embedding",
    "relative_bias_per_layer",
    "relative_attention_num_buckets",
)


@cache
def expected_shapes(config: T5Config | DecoderConfig) -> Mapping[str, Shape]:
    """The shape of each parameter of a model, layer by layer."""
    from flax import linen as nn
    from flax.traverse_util import flatten_dict

    from tk_instruct.model import build
    from tk_instruct.step import abstract_params

    model = build(replace(config, scan_layers=False))
    params = nn.meta.unbox(abstract_params(model))
    return {name: leaf.shape for name, leaf in flatten_dict(params, sep="/").items()}


def infer_config(shapes: Mapping[str, Shape], path: str) -> T5Config | DecoderConfig:
    """The configuration of a model with tensors of these names and shapes.

    Fields that do not show in shapes are as in the published models: ReLU in a feed-forward block
    with one projection, gated GELU in one with two, relative positions up to 128, no dropout.

    Raises:
        UserError: the tensors are not those of a T5.
    """

    def shape(pattern: str) -> Shape:
        for name in shapes:
            if re.fullmatch(pattern, name):
                return shapes[name]
        raise UserError(
            f"{path} has no tensor {pattern.replace('.+', '…')}, so it is no T5's; it begins with "
            f"{', '.join(list(shapes)[:3]) or 'nothing'}"
        )

    def num_layers(stack: str) -> int:
        found = (re.match(rf"{stack}/layers_(\d+)/", name) for name in shapes)
        return 1 + max((int(match[1]) for match in found if match), default=0)

    vocab_size, d_model = shape("token_embedder/embedding")
    num_heads, num_buckets = shape(f".+{BIAS}")
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "d_model": d_model,
        "num_heads": num_heads,
        "head_dim": shape(".+attention/query/kernel")[1] // num_heads,
        "d_ff": shape(".+/mlp/wo/kernel")[0],
        "mlp_activations": (
            ("relu",)
            if any(name.endswith("/mlp/wi/kernel") for name in shapes)
            else ("gelu", "linear")
        ),
        "logits_via_embedding": "decoder/logits_dense/kernel" not in shapes,
        "relative_bias_per_layer": any(
            re.fullmatch(rf"\w+/layers_\d+/{BIAS}", name) for name in shapes
        ),
        "relative_attention_num_buckets": num_buckets,
    }
    if not any(name.startswith("encoder/") for name in shapes):
        return DecoderConfig(**sizes, num_layers=num_layers("decoder"))
    return T5Config(
        **sizes,
        num_encoder_layers=num_layers("encoder"),
        num_decoder_layers=num_layers("decoder"),
    )


def check(checkpoint: Checkpoint, config: T5Config | DecoderConfig, whose: str) -> None:
    """Raises UserError unless a checkpoint has exactly the tensors of a configuration.

    The message names a tensor, its shape on both sides and the likely cause; `whose` says in it
    where the configuration comes from.
    """
    found = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    wanted = expected_shapes(config)
    wrong = [name for name in wanted if name in found and found[name] != wanted[name]]
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    if not (wrong or missing or extra):
        return
    name, *others = wrong + missing + extra
    stored = checkpoint.stored_name(name)
    shown = name if stored == name else f"{name} ({stored})"
    count = f" ({len(others)} more differ)" if others else ""
    raise UserError(
        f"{checkpoint.path}: {shown} is {found.get(name, 'missing')} in the checkpoint and "
        f"{wanted.get(name, 'absent')} by {whose}{count}: {_cause(found, config, whose)}"
    )


def _cause(found: Mapping[str, Shape], config: T5Config | DecoderConfig, whose: str) -> str:
    """The most likely cause of a difference, and the repair."""
    try:
        theirs = asdict(infer_config(found, ""))
    except UserError:
        return "it is damaged or of another architecture; fetch or save it again"
    ours = asdict(config)
    if ("num_layers" in theirs) != ("num_layers" in ours):
        kinds = ("an encoder-decoder", "a decoder alone")
        kind, other = kinds if "num_layers" in ours else kinds[::-1]
        return f"the checkpoint is {kind}, {whose} is of {other}; use a model of its architecture"
    # Shapes show the number of activations only.
    of_shape = {"mlp_activations": len}
    changed = [
        field
        for field in _DECISIVE
        if field in ours
        and of_shape.get(field, lambda value: value)(theirs[field])
        != of_shape.get(field, lambda value: value)(ours[field])
    ]
    if not changed:
        return "the checkpoint is not whole; fetch or save it again"
    sides = (", ".join(_shown(field, side[field]) for field in changed) for side in (theirs, ours))
    return (
        f"the checkpoint is of {next(sides)}, {whose} of {next(sides)}; use the model of the "
        "checkpoint, or the checkpoint of the model"
    )


def _shown(field: str, value: Any) -> str:
    told = {
        "d_model": lambda: f"d_model {value}" + (f" ({_SIZES[value]})" if value in _SIZES else ""),
        "mlp_activations": lambda: (
            f"{' × '.join(value)} feed-forward blocks"
            + (" (T5 1.0)" if len(value) == 1 else " (T5 1.1)")
        ),
        "logits_via_embedding": lambda: (
            "logits tied to the embedding (T5 1.0)"
            if value
            else "logits of a table of their own (T5 1.1)"
        ),
        "relative_bias_per_layer": lambda: (
            "relative positions per layer (umT5)"
            if value
            else "relative positions shared by all layers (T5)"
        ),
    }
    return told[field]() if field in told else f"{field} {value}"
