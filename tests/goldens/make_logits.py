"""Writes logits.npz: Hugging Face's logits for a tiny model of each family, weights from a seed.

Needs torch and transformers (the extra hf), which the test that reads the file does not:
`python tests/goldens/make_logits.py`.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

SIZES: dict[str, Any] = {
    "vocab_size": 32,
    "d_model": 24,
    "num_heads": 3,
    "head_dim": 8,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "d_ff": 40,
}
_T5_1_1: dict[str, Any] = {
    "mlp_activations": ("gelu", "linear"),
    "logits_via_embedding": False,
    "relative_bias_per_layer": False,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "t5_1_0": {**_T5_1_1, "mlp_activations": ("relu",), "logits_via_embedding": True},
    "t5_1_1": _T5_1_1,
    "mt5": _T5_1_1,
    "umt5": {**_T5_1_1, "relative_bias_per_layer": True},
    "byt5": {**_T5_1_1, "num_encoder_layers": 3, "num_decoder_layers": 1},
}
# Longer than the 128 tokens at which distances stop being told apart.
INPUT_LENGTHS, MAX_INPUT = (150, 37), 150
TARGET_LENGTHS, MAX_TARGET = (140, 20), 140


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The parameter of that T5X name; RandomState's stream never changes between versions."""
    draws = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("scale"):
        return (1 + 0.3 * draws).astype(np.float32)
    if name.endswith("rel_embedding") or name.endswith("embedding"):
        return draws.astype(np.float32)
    return (draws / np.sqrt(shape[0])).astype(np.float32)


def tokens() -> tuple[np.ndarray, np.ndarray]:
    """Encoder inputs [2, MAX_INPUT] and decoder inputs [2, MAX_TARGET], padded with 0."""
    state = np.random.RandomState(0)
    inputs, targets = (
        np.stack([np.where(np.arange(width) < n, state.randint(2, 32, width), 0) for n in lengths])
        for lengths, width in ((INPUT_LENGTHS, MAX_INPUT), (TARGET_LENGTHS, MAX_TARGET))
    )
    return inputs.astype(np.int32), targets.astype(np.int32)


def _copy(parameter: Any, name: str, transpose: bool = True) -> None:
    import torch

    shape = tuple(parameter.shape)[::-1] if transpose else tuple(parameter.shape)
    value = weight(name, shape)
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(value.T.copy() if transpose else value))


def main() -> None:
    goldens = {family: logits(family) for family in FAMILIES}
    np.savez_compressed(Path(__file__).with_name("logits.npz"), **goldens)


def logits(family: str) -> np.ndarray:
    """Of all targets that are not padding, [targets, vocab]."""
    import torch
    import transformers

    settings = {**SIZES, **FAMILIES[family]}
    tied, per_layer = settings["logits_via_embedding"], settings["relative_bias_per_layer"]
    activations = settings["mlp_activations"]
    names = {"mt5": "MT5", "umt5": "UMT5"}
    kind = names.get(family, "T5")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=settings["vocab_size"],
        d_model=settings["d_model"],
        num_heads=settings["num_heads"],
        d_kv=settings["head_dim"],
        num_layers=settings["num_encoder_layers"],
        num_decoder_layers=settings["num_decoder_layers"],
        d_ff=settings["d_ff"],
        feed_forward_proj="relu" if len(activations) == 1 else "gated-gelu",
        tie_word_embeddings=tied,
        dropout_rate=0.0,
    )
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()
    _copy(model.shared.weight, "token_embedder/embedding", transpose=False)
    if not tied:
        # transformers 5 ties the two at first whatever the configuration says.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
        _copy(model.lm_head.weight, "decoder/logits_dense/kernel")
    for stack_name, stack, attentions in (
        ("encoder", model.encoder, ("attention",)),
        ("decoder", model.decoder, ("self_attention", "encoder_decoder_attention")),
    ):
        norm = f"{stack_name}/{stack_name}_norm/scale"
        _copy(stack.final_layer_norm.weight, norm, transpose=False)
        for i, block in enumerate(stack.block):
            prefix = f"{stack_name}/layers_{i}"
            if per_layer or i == 0:
                bias = block.layer[0].SelfAttention.relative_attention_bias
                where = prefix if per_layer else stack_name
                _copy(bias.weight, f"{where}/relpos_bias/rel_embedding")
            norms = [name.replace("encoder_decoder", "cross") for name in attentions]
            for part, name, norm in zip(block.layer, attentions, norms, strict=False):
                attention = getattr(part, "SelfAttention", None) or part.EncDecAttention
                for ours, theirs in zip(("query", "key", "value", "out"), "qkvo", strict=True):
                    projection = getattr(attention, theirs)
                    _copy(projection.weight, f"{prefix}/{name}/{ours}/kernel")
                scale = f"{prefix}/pre_{norm}_layer_norm/scale"
                _copy(part.layer_norm.weight, scale, transpose=False)
            mlp = block.layer[-1]
            for name in ("wi",) if len(activations) == 1 else ("wi_0", "wi_1"):
                _copy(getattr(mlp.DenseReluDense, name).weight, f"{prefix}/mlp/{name}/kernel")
            _copy(mlp.DenseReluDense.wo.weight, f"{prefix}/mlp/wo/kernel")
            _copy(mlp.layer_norm.weight, f"{prefix}/pre_mlp_layer_norm/scale", transpose=False)

    inputs, targets = (torch.from_numpy(x.astype(np.int64)) for x in tokens())
    with torch.no_grad():
        found = model(
            input_ids=inputs,
            attention_mask=(inputs > 0).long(),
            decoder_input_ids=targets,
            decoder_attention_mask=(targets > 0).long(),
        ).logits.numpy()
    return found[targets.numpy() > 0]


if __name__ == "__main__":
    main()
