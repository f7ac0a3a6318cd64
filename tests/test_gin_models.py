"""The shipped model files: sizes are the published ones, and sizes are all that they override."""

from pathlib import Path

import gin
import jax
import numpy as np
import pytest

from tk_instruct import configuration, model
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.step import init_params
from tk_instruct.train_run import TrainRun

FILES = Path(__file__).parents[1] / "gin" / "models"
# T5: arXiv:1910.10683 and 2002.05202; mT5: 2010.11934; ByT5: 2105.13626 (its 300M to 12.9B are
# mT5's); umT5: 2304.09151; LaMDA: 2201.08239, whose counts leave the embeddings out.
MILLIONS = {
    "t5_1_0": {"small": 60.5, "base": 222.9, "large": 737.7, "3b": 2851.6, "11b": 11307.3},
    "t5_1_1": {"small": 77.0, "base": 247.6, "large": 783.2, "xl": 2849.8, "xxl": 11135.3},
    "mt5": {"small": 300.2, "base": 582.4, "large": 1229.6, "xl": 3742.6, "xxl": 12921.1},
    "byt5": {"small": 299.6, "base": 581.7, "large": 1228.0, "xl": 3735.5, "xxl": 12906.0},
    "lamda": {"422m": 422, "2b": 2100, "8b": 8600, "68b": 68700, "137b": 137400},
}


def model_of(name: str, **macros: str) -> T5Config | DecoderConfig:
    configuration.import_declarations()
    bindings = {"MODEL_DIR": "'x'", "MIXTURE_OR_TASK_NAME": "'x'", "TRAIN_STEPS": 1}
    bindings |= {"TASK_FEATURE_LENGTHS": "{'inputs': 8, 'targets': 8}", "BATCH_SIZE": 1}
    bindings |= {"LEARNING_RATE": 0.1, **macros}
    lines = [f"{name} = {value}" for name, value in bindings.items()]
    configuration.load("runs/train.gin", [f"models/{name}.gin"], lines)
    return gin.get_configurable(TrainRun)().model


def num_millions(config: T5Config | DecoderConfig, embeddings: bool = True) -> float:
    net = model.build(config)
    boxed = jax.eval_shape(lambda key: init_params(net, key), jax.random.key(0))
    sizes = {jax.tree_util.keystr(path): leaf.size for path, leaf in _leaves(boxed)}
    outside = {name for name in sizes if "token_embedder" in name or "logits_dense" in name}
    return sum(sizes[name] for name in (sizes if embeddings else sizes.keys() - outside)) / 1e6


def _leaves(tree: object) -> list:
    return jax.tree_util.tree_leaves_with_path(tree)


@pytest.mark.parametrize("family", MILLIONS)
def test_sizes_are_the_published_ones(family: str) -> None:
    found = {
        # Scanned, because one layer is traced faster than all.
        size: num_millions(
            model_of(f"{family}_{size}", SCAN_LAYERS="True"), embeddings=family != "lamda"
        )
        for size in MILLIONS[family]
    }
    np.testing.assert_allclose(
        list(found.values()), list(MILLIONS[family].values()), rtol=1e-2, err_msg=str(found)
    )


def test_every_size_file_overrides_only_sizes() -> None:
    families = {path.stem for path in FILES.glob("*.gin")} & {*MILLIONS, "umt5"}
    sizes = {"EMBED_DIM", "NUM_HEADS", "HEAD_DIM", "NUM_ENCODER_LAYERS", "NUM_DECODER_LAYERS"}
    sizes.add("MLP_DIM")
    assert len(families) == 6
    for path in FILES.glob("*.gin"):
        if path.stem in families:
            continue
        set_ = {line.split(" = ")[0] for line in path.read_text().splitlines() if " = " in line}
        assert set_ <= sizes, path


def test_families_differ_where_they_should() -> None:
    one, later, umt5 = (model_of(name) for name in ("t5_1_0_3b", "mt5_xl", "umt5_small"))
    assert isinstance(one, T5Config)
    assert (one.mlp_activations, one.logits_via_embedding, one.head_dim) == (("relu",), True, 128)
    assert (later.mlp_activations, later.logits_via_embedding) == (("gelu", "linear"), False)
    assert (umt5.relative_bias_per_layer, later.relative_bias_per_layer) == (True, False)
    assert umt5.vocab_size == 256384
    byt5 = model_of("byt5_small")
    assert isinstance(byt5, T5Config)
    assert (byt5.num_encoder_layers, byt5.num_decoder_layers) == (12, 4)


def test_macros_choose_how_a_model_is_run() -> None:
    macros = {"SCAN_LAYERS": "True", "REMAT": "'full'", "ACTIVATION_DTYPE": "'bfloat16'"}
    for name in ("t5_1_1_small", "lamda_2b"):
        config = model_of(name, **macros)
        assert (config.scan_layers, config.remat, config.dtype) == (True, "full", "bfloat16")
    causal = model_of("lamda_2b", BIDIRECTIONAL_INPUTS="False")
    assert isinstance(causal, DecoderConfig)
    assert not causal.bidirectional_inputs
