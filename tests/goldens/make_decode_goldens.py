"""Writes decode.npz: what Hugging Face's T5 generates, on a tiny model with reproducible weights.

Needs torch and transformers (`pip install torch==2.13.0 transformers==5.23.0`), which the test that
reads the file does not: `python tests/goldens/make_decode_goldens.py`.
"""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {
    "vocab_size": 32,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "d_ff": 24,
}
EOS_ID = 1
MAX_TARGET_TOKENS = 14
# Every length penalty stops at another time, and some rows end only where they must.
BEAM_SEARCHES = {
    "beams2": {"num_beams": 2, "length_penalty": 1.0},
    "beams2_long": {"num_beams": 2, "length_penalty": 2.0},
    "beams4": {"num_beams": 4, "length_penalty": 1.0},
    "beams4_long": {"num_beams": 4, "length_penalty": 2.0},
    "beams4_short": {"num_beams": 4, "length_penalty": 0.0},
    "beams3_shorter": {"num_beams": 3, "length_penalty": -1.0},
}


def weight(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """The parameter of that T5X name; RandomState's stream never changes between versions."""
    draws = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode())).standard_normal(shape)
    if name.endswith("scale"):
        return (1 + 0.3 * draws).astype(np.float32)
    if name.endswith("embedding"):
        return draws.astype(np.float32)
    scale = 2.0 if name.endswith("logits_dense/kernel") else 1.0
    return (scale * draws / np.sqrt(shape[0])).astype(np.float32)


def inputs() -> np.ndarray:
    """[8, 11], padded with 0; with this seed some would do better if searched for longer."""
    lengths = np.array([11, 3, 7, 1, 11, 5, 9, 2])
    tokens = np.random.RandomState(45).randint(2, SIZES["vocab_size"], (8, 11))
    return np.where(np.arange(11) < lengths[:, None], tokens, 0).astype(np.int32)


def hugging_face_name(name: str) -> str:
    """T5X's name of a parameter → that of transformers' T5ForConditionalGeneration."""
    parts = {
        "token_embedder/embedding": "shared.weight",
        "decoder/logits_dense/kernel": "lm_head.weight",
        "relpos_bias/rel_embedding": "block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "encoder_norm/scale": "final_layer_norm.weight",
        "decoder_norm/scale": "final_layer_norm.weight",
        "pre_attention_layer_norm/scale": "layer.0.layer_norm.weight",
        "pre_self_attention_layer_norm/scale": "layer.0.layer_norm.weight",
        "pre_cross_attention_layer_norm/scale": "layer.1.layer_norm.weight",
        "self_attention": "layer.0.SelfAttention",
        "encoder_decoder_attention": "layer.1.EncDecAttention",
        "attention": "layer.0.SelfAttention",
    }
    last = 1 if name.startswith("encoder") else 2
    parts |= {
        "pre_mlp_layer_norm/scale": f"layer.{last}.layer_norm.weight",
        "mlp": f"layer.{last}.DenseReluDense",
    }
    for ours, theirs in parts.items():
        name = re.sub(rf"(^|/){ours}(/|$)", rf"\1{theirs}\2", name)
    name = re.sub(r"layers_(\d+)", r"block.\1", name)
    name = re.sub(r"Attention/(.)\w+/kernel", r"Attention/\1.weight", name)
    return name.replace("/kernel", ".weight").replace("/", ".")


def hugging_face_model(params: Mapping[str, np.ndarray]) -> Any:
    """The model of transformers with these parameters, by T5X's names (encoder/layers_0/…)."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.set_num_threads(1)  # more only wait for each other on matrices of this size
    config = T5Config(
        vocab_size=SIZES["vocab_size"],
        d_model=SIZES["d_model"],
        num_heads=SIZES["num_heads"],
        d_kv=SIZES["head_dim"],
        num_layers=SIZES["num_encoder_layers"],
        num_decoder_layers=SIZES["num_decoder_layers"],
        d_ff=SIZES["d_ff"],
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    model = T5ForConditionalGeneration(config).eval()
    # transformers 5 ties the two at first whatever the configuration says.
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    state = {}
    for name, value in params.items():
        as_is = name.endswith("scale") or name == "token_embedder/embedding"
        state[hugging_face_name(name)] = torch.tensor(value if as_is else value.T)
    missing, unexpected = model.load_state_dict(state, strict=False)
    shared = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert set(missing) <= shared, missing
    assert not unexpected, unexpected
    return model


def generate(
    model: Any, tokens: np.ndarray, **settings: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    """Target tokens [batch, MAX_TARGET_TOKENS], 0 after their end, and the scores of beams."""
    import torch

    with torch.no_grad():
        found = model.generate(
            input_ids=torch.tensor(tokens, dtype=torch.long),
            attention_mask=torch.tensor(tokens > 0, dtype=torch.long),
            max_new_tokens=MAX_TARGET_TOKENS,
            do_sample=False,
            eos_token_id=EOS_ID,
            pad_token_id=0,
            decoder_start_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
            **settings,
        )
    targets = found.sequences.numpy()[:, 1:]
    padded = np.pad(targets, ((0, 0), (0, MAX_TARGET_TOKENS - targets.shape[1])))
    scores = found.sequences_scores.numpy() if "num_beams" in settings else None
    return np.where(np.cumsum(padded == EOS_ID, 1) - (padded == EOS_ID) > 0, 0, padded), scores


def parameter_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Of a model of tk_instruct, by T5X's names."""
    import jax
    from flax import traverse_util
    from flax.core import meta

    one, options = np.zeros((1, 1), np.int32), np.zeros((1, 1, 1), np.int32)
    initialised = jax.eval_shape(
        lambda key: model.init(key, one, one, options, method="option_logits"), jax.random.key(0)
    )
    params = traverse_util.flatten_dict(meta.unbox(initialised)["params"], sep="/")
    return {name: leaf.shape for name, leaf in params.items()}


def main() -> None:
    from tk_instruct.model import build
    from tk_instruct.model.config import config_from_fields

    shapes = parameter_shapes(build(config_from_fields(SIZES)))
    model = hugging_face_model({name: weight(name, shape) for name, shape in shapes.items()})
    found = {"greedy": generate(model, inputs())[0]}
    for name, settings in BEAM_SEARCHES.items():
        found[name], found[f"{name}_scores"] = generate(
            model, inputs(), early_stopping=False, **settings
        )
    np.savez_compressed(Path(__file__).with_name("decode.npz"), **found)


if __name__ == "__main__":
    main()
