import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tensorstore
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save_file

from tk_instruct import convert, sharding
from tk_instruct.checkpoint import Checkpoints, Description
from tk_instruct.convert import huggingface, shapes, storage, vocabularies
from tk_instruct.convert.tensors import Tensor
from tk_instruct.errors import UserError
from tk_instruct.model import build
from tk_instruct.model.config import DecoderConfig, T5Config, config_from_fields
from tk_instruct.model.stacking import stack_layers
from tk_instruct.step import abstract_params

SIZES: dict[str, Any] = {
    "vocab_size": 384,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 4,
    "d_ff": 24,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "relative_attention_max_distance": 100,
}
FAMILIES = {
    "t5_1_0": {"mlp_activations": ("relu",), "logits_via_embedding": True},
    "t5_1_1": {},
    "mt5": {"vocab_size": 250_112, "d_model": 4},
    "umt5": {"relative_bias_per_layer": True},
}
T5X_LAYOUTS = [
    [to, *scan] for to in ("--to=t5x", "--to=t5x_legacy") for scan in ([], ["--scan_layers"])
]


def config_of(family: str, **changed: Any) -> T5Config:
    return T5Config(**{**SIZES, **FAMILIES[family], **changed})


def random_weights(config: T5Config | DecoderConfig, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    expected = shapes.expected_shapes(config)
    # Around 1, so that neither a norm nor a transposed kernel is like another.
    return {
        name: (rng.standard_normal(shape) + name.endswith("scale")).astype(np.float32)
        for name, shape in expected.items()
    }


def run(*arguments: Any) -> None:
    parser = argparse.ArgumentParser()
    convert.add_arguments(parser)
    assert convert.main(parser.parse_args(list(map(str, arguments)))) == 0


def weights_in(path: Path | str) -> dict[str, np.ndarray]:
    tensors = convert.open_checkpoint(str(path)).tensors
    return {name: tensor.whole() for name, tensor in tensors.items()}


def assert_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name in expected:
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def write_ours(folder: Path, config: Any, weights: Mapping[str, np.ndarray], step: int = 3) -> Path:
    """As a run saves it: an optimizer's state beside the parameters, stacked if the model is."""
    params = unflatten_dict(dict(weights), sep="/")
    if config.scan_layers:
        params = stack_layers(params)
    state = {"step": np.int32(step), "params": params, "opt_state": {"mu": params}}
    about = Description(
        model=asdict(config),
        vocabulary={"name": "bytes", "fingerprint": "", "size": 259},
        data={
            "mixture": "superni_en_def",
            "lengths": {"inputs": 64, "targets": 8},
            "batch_size": 4,
            "seed": 0,
            "content": {"superni_en_def": "0", "self_instruct": "1", "mine": "2"},
        },
        gin="DATA_DIR = '/home/me/secret/data'\nINITIAL_CHECKPOINT_PATH = '/x/flan_t5'\n",
    )
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(step, jax.tree.map(np.asarray, state), {}, about)
    return folder


@pytest.fixture(scope="module")
def huggingface_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each family, with random weights, as transformers saves it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", minversion="5.24")
    folders = {}
    for family in FAMILIES:
        config = config_of(family)
        said = huggingface.config_json(config)
        kind = getattr(transformers, said["architectures"][0])
        model = kind(kind.config_class(**said))
        if not config.logits_via_embedding:
            model.lm_head.weight = torch.nn.Parameter(torch.empty(model.lm_head.weight.shape))
        torch.manual_seed(0)
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, mean=1.0 if "layer_norm" in name else 0.0, std=0.5)
        folders[family] = tmp_path_factory.mktemp("huggingface") / family
        model.save_pretrained(folders[family])
    return folders


@pytest.mark.parametrize("family", FAMILIES)
def test_hugging_face_there_and_back(
    family: str, huggingface_folders: dict[str, Path], tmp_path: Path
) -> None:
    source = huggingface_folders[family]
    run(source, tmp_path / "ours", "--to=ours", "--vocabulary=bytes")
    run(tmp_path / "ours", tmp_path / "back", "--to=huggingface")
    assert_same(
        load_file(tmp_path / "back" / "model.safetensors"), load_file(source / "model.safetensors")
    )
    said, back = (json.loads((f / "config.json").read_text()) for f in (source, tmp_path / "back"))
    # transformers 5 says it of every model, with scale_decoder_outputs beside it.
    assert back.pop("tie_word_embeddings") == (family == "t5_1_0")
    assert back == {key: said.get(key, back[key]) for key in back}
    assert convert.open_checkpoint(str(tmp_path / "ours")).config == config_of(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_hugging_face_computes_the_same(
    family: str, huggingface_folders: dict[str, Path], tmp_path: Path
) -> None:
    import torch
    import transformers

    config = config_of(family)
    write_ours(tmp_path / "ours", config, random_weights(config))
    run(tmp_path / "ours", tmp_path / "theirs", "--to=huggingface")
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(2, 384, (2, 7)), rng.integers(2, 384, (2, 5))
    inputs[1, 4:] = 0
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "theirs").eval()
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(inputs),
            attention_mask=torch.tensor(inputs > 0).long(),
            labels=torch.tensor(targets),
        ).logits.numpy()
    params = unflatten_dict(weights_in(tmp_path / "theirs"), sep="/")
    batch = {
        "encoder_input_tokens": inputs,
        "encoder_segment_ids": (inputs > 0).astype(np.int32),
        "decoder_target_tokens": targets,
        "decoder_segment_ids": np.ones_like(targets),
    }
    apply = jax.jit(partial(build(config).apply, deterministic=True, method="logits"))
    ours = np.asarray(apply({"params": params}, batch))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours / scale, expected / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "scan_layers"),
    [("t5_1_0", True), ("umt5", False)],
)
def test_t5x_there_and_back(family: str, scan_layers: bool, tmp_path: Path) -> None:
    config = config_of(family, scan_layers=scan_layers)
    weights = random_weights(config)
    write_ours(tmp_path / "ours", config, weights)
    for layout in T5X_LAYOUTS:
        there = tmp_path / "-".join(layout).replace("/", "")
        run(tmp_path / "ours", there, *layout)
        assert_same(weights_in(there / "checkpoint_3"), weights)
        found = convert.open_checkpoint(str(there))  # its last checkpoint
        assert (found.step, found.config) == (
            3,
            replace(config, scan_layers=False, relative_attention_max_distance=128),
        )


def test_paths_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_of("t5_1_1")
    weights = random_weights(config)
    write_ours(tmp_path / "ours", config, weights)
    run("ours", "t5x", "--to=t5x")
    run("t5x", "back", "--to=ours", "--vocabulary=bytes")
    assert_same(weights_in("back"), weights)


def test_t5x_has_the_shapes_of_its_networks(tmp_path: Path) -> None:
    """Seen in what upstream's t5 and scalable_t5 initialise."""
    write_ours(tmp_path / "ours", config_of("t5_1_1"), random_weights(config_of("t5_1_1")))
    run(tmp_path / "ours", tmp_path / "scanned", "--to=t5x_legacy", "--scan_layers", "--step=8")
    run(tmp_path / "ours", tmp_path / "t5", "--to=t5x_legacy", "--step=8")

    def shape(folder: str, name: str) -> list[int]:
        array = tmp_path / folder / "checkpoint_8" / f"target.{name}" / ".zarray"
        return json.loads(array.read_text())["shape"]

    assert shape("t5", "decoder.layers_0.self_attention.query.kernel") == [16, 8]
    assert shape("t5", "decoder.relpos_bias.rel_embedding") == [2, 32]
    assert shape("scanned", "decoder.decoder.self_attention.query.kernel") == [16, 2, 2, 4]
    assert shape("scanned", "decoder.decoder.self_attention.out.kernel") == [2, 2, 4, 16]
    assert shape("scanned", "decoder.decoder.mlp.wo.kernel") == [24, 2, 16]
    assert shape("scanned", "decoder.decoder.relpos_bias.rel_embedding") == [2, 2, 32]
    assert shape("scanned", "decoder.decoder_norm.scale") == [16]


def test_t5x_as_it_was_published(tmp_path: Path) -> None:
    """Paths beside the key-value store, a bucket that is not there, small tensors in the file."""
    config = config_of("t5_1_1")
    weights = random_weights(config)
    write_ours(tmp_path / "ours", config, weights)
    run(tmp_path / "ours", tmp_path / "t5x", "--to=t5x_legacy")
    file = tmp_path / "t5x" / "checkpoint_3" / "checkpoint"
    content = serialization.msgpack_restore(file.read_bytes())
    embedder = content["optimizer"]["target"]["token_embedder"]
    spec = embedder["embedding"]
    spec["path"] = spec["kvstore"].pop("path")
    spec["kvstore"] = {"driver": "gcs", "bucket": "t5x-dummy-bucket"}
    norm = weights["encoder/encoder_norm/scale"]
    content["optimizer"]["target"]["encoder"]["encoder_norm"]["scale"] = norm
    file.write_bytes(serialization.msgpack_serialize(content))
    shutil.rmtree(file.parent / "target.encoder.encoder_norm.scale")
    assert_same(weights_in(file.parent), weights)


def test_a_decoder_alone_goes_to_t5x_and_not_to_hugging_face(tmp_path: Path) -> None:
    sizes = {name: size for name, size in SIZES.items() if "coder_layers" not in name}
    config = DecoderConfig(**sizes, num_layers=2)
    weights = random_weights(config)
    write_ours(tmp_path / "ours", config, weights)
    run(tmp_path / "ours", tmp_path / "t5x", "--to=t5x")
    assert_same(weights_in(tmp_path / "t5x"), weights)
    with pytest.raises(UserError, match="Hugging Face has no decoder-only model of T5's layers"):
        run(tmp_path / "ours", tmp_path / "hf", "--to=huggingface")
    with pytest.raises(UserError, match="is an encoder-decoder, this model a decoder alone"):
        run(tmp_path / "ours", tmp_path / "scanned", "--to=t5x", "--scan_layers")


def test_what_is_converted_is_a_run_directory(tmp_path: Path, mini_vocabulary: Path) -> None:
    config = config_of("t5_1_1", vocab_size=1152)
    weights = random_weights(config)
    write_ours(tmp_path / "first", config, weights)
    run(tmp_path / "first", tmp_path / "t5x", "--to=t5x", "--step=1200")
    run(tmp_path / "t5x", tmp_path / "run", "--to=ours", f"--vocabulary={mini_vocabulary}")
    with Checkpoints(tmp_path / "run", read_only=True) as checkpoints:
        assert checkpoints.step_or_latest(None) == 1200
        about = checkpoints.description(1200)
        like = sharding.placed(abstract_params(build(config)), sharding.make_mesh(1))
        params = checkpoints.restore_params(1200, like)
    assert_same(jax.device_get(flatten_dict(params, sep="/")), weights)
    assert config_from_fields(about.model) == replace(config, relative_attention_max_distance=128)
    assert about.vocabulary["size"] == 1100
    assert about.gin == "# Converted from t5x/checkpoint_1200 (t5x)."
    from tk_instruct.data.vocabulary import fingerprint, vocabulary

    kept = vocabulary(str(tmp_path / "run" / "sentencepiece.model"))
    assert fingerprint(kept) == about.vocabulary["fingerprint"]


def test_the_vocabulary_of_an_export_gives_the_same_ids(tmp_path: Path, shared_data: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tk_instruct.data.vocabulary import vocabulary

    model = shared_data / "t5-vocabulary" / "sentencepiece.model"
    bare, num_sentinels = vocabularies.without_sentinels(model.read_bytes())
    assert num_sentinels == 100
    config = config_of("t5_1_1", vocab_size=32_128, d_model=4)
    write_ours(tmp_path / "ours", config, random_weights(config))
    for name, source in (("sentencepiece", model), ("bytes", "bytes")):
        run(tmp_path / "ours", tmp_path / name, "--to=huggingface", f"--vocabulary={source}")
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
        text = "Definition: Grüße, <extra_id_0> 3.5% of it?"
        if name == "bytes":  # seqio takes a sentinel there for letters
            text = text.replace("<extra_id_0> ", "")
        assert tokenizer(text).input_ids == [*vocabulary(str(source)).encode(text), 1]
    # There and back, the file too.
    assert (tmp_path / "sentencepiece" / "spiece.model").read_bytes() == bare
    run(tmp_path / "sentencepiece", tmp_path / "again", "--to=ours")
    run(tmp_path / "again", tmp_path / "back", "--to=huggingface")
    assert (tmp_path / "back" / "spiece.model").read_bytes() == bare


def export(folder: Path, family: str = "t5_1_1", **changed: Any) -> Path:
    """A Hugging Face folder, without transformers."""
    config = config_of(family, **changed)
    tensors = {
        name: Tensor(array.shape, array.__getitem__)
        for name, array in random_weights(config).items()
    }
    huggingface.write(folder, config, tensors)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def test_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = export(tmp_path / "whole")
    monkeypatch.setattr(huggingface, "MAX_SHARD_BYTES", 30_000)
    run(whole, tmp_path / "shards", "--to=huggingface", "--vocabulary=bytes")
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    files = sorted(file.name for file in (tmp_path / "shards").glob("*.safetensors"))
    assert len(files) > 2
    assert sorted(set(index["weight_map"].values())) == files
    expected = load_file(whole / "model.safetensors")
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in expected.values())
    for name, file in index["weight_map"].items():
        found = load_file(tmp_path / "shards" / file)[name]
        np.testing.assert_array_equal(found, expected[name])
    assert_same(weights_in(tmp_path / "shards"), weights_in(whole))
    (tmp_path / "shards" / files[1]).unlink()
    with pytest.raises(UserError, match=rf"lacks {files[1]}, which model.safetensors.index.json"):
        convert.open_checkpoint(str(tmp_path / "shards"))


def test_half_precision_is_widened(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    folder = export(tmp_path / "hf")
    weights = load_file(folder / "model.safetensors")
    for dtype in (torch.bfloat16, torch.float16):
        narrow = {name: torch.from_numpy(array).to(dtype) for name, array in weights.items()}
        save_torch(narrow, folder / "model.safetensors")
        found = weights_in(folder)["decoder/logits_dense/kernel"]
        np.testing.assert_array_equal(found, narrow["lm_head.weight"].float().numpy().T)
    narrow["lm_head.weight"] = narrow["lm_head.weight"].to(torch.float64)
    save_torch(narrow, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"lm_head.weight is of F64; weights must be float32"):
        convert.open_checkpoint(str(folder))


def test_copies_of_a_tied_table(tmp_path: Path) -> None:
    folder = export(tmp_path / "hf", "t5_1_0")
    expected = weights_in(folder)

    def add_copies(weights: dict[str, np.ndarray]) -> None:
        for name in ("encoder.embed_tokens", "decoder.embed_tokens", "lm_head"):
            weights[f"{name}.weight"] = weights["shared.weight"].copy()
        unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        weights[unused] = np.zeros((32, 2), np.float32)

    rewrite(folder, add_copies)
    assert_same(weights_in(folder), expected)
    rewrite(folder, lambda weights: weights["lm_head.weight"].__setitem__(0, 5.0))
    with pytest.raises(UserError, match=r"lm_head.weight is not the same as shared.weight .*false"):
        convert.open_checkpoint(str(folder))


def set_config(folder: Path, **said: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))


@pytest.mark.parametrize(
    ("change", "said", "message"),
    [
        (
            lambda w: w.pop("decoder.block.1.layer.0.SelfAttention.v.weight"),
            {},
            r"decoder/layers_1/self_attention/value/kernel \(decoder.block.1.layer.0.SelfAttention"
            r".v.weight\) is missing in the checkpoint and \(16, 8\) by its config.json: the "
            "checkpoint is not whole",
        ),
        (
            lambda w: w.update(extra=np.zeros(3, np.float32)),
            {},
            r"extra is \(3,\) in the checkpoint and absent by its config.json",
        ),
        (
            lambda w: w.update({"shared.weight": np.zeros((390, 16), np.float32)}),
            {},
            r"token_embedder/embedding \(shared.weight\) is \(390, 16\) in the checkpoint and "
            r"\(384, 16\) by its config.json: the checkpoint is of vocab_size 390, its config.json "
            "of vocab_size 384",
        ),
        (
            lambda w: w.pop("lm_head.weight"),
            {},
            "lm_head.weight is not there. Either the checkpoint is not whole: fetch it again. Or",
        ),
        (lambda w: None, {"num_layers": 2}, "num_encoder_layers 1, its config.json of num_encoder"),
        (lambda w: None, {"feed_forward_proj": "relu"}, r"gelu × linear feed-forward blocks"),
        (lambda w: None, {"feed_forward_proj": "gated-silu"}, "'gated-silu' is not one of relu"),
        (lambda w: None, {"model_type": "bart"}, "model_type='bart' is not one of t5, mt5, umt5"),
    ],
)
def test_a_damaged_folder_is_explained(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], Any], said: Any, message: str
) -> None:
    folder = export(tmp_path / "hf")
    rewrite(folder, change)
    set_config(folder, **said)
    with pytest.raises(UserError, match=message):
        convert.open_checkpoint(str(folder))


def test_a_config_that_does_not_say_its_sizes(tmp_path: Path) -> None:
    folder = export(tmp_path / "hf")
    said = json.loads((folder / "config.json").read_text())
    del said["d_ff"]
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(
        UserError, match=r"config.json: d_ff is missing; correct it, or fetch it again"
    ):
        convert.open_checkpoint(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json: not JSON"):
        convert.open_checkpoint(str(folder))


def test_files_that_are_cut_off(tmp_path: Path) -> None:
    folder = export(tmp_path / "hf")
    run(folder, tmp_path / "legacy", "--to=t5x_legacy")
    run(folder, tmp_path / "orbax", "--to=t5x")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="the copy is damaged or not whole: fetch it again"):
        convert.open_checkpoint(str(folder))
    checkpoint = tmp_path / "legacy" / "checkpoint_0"
    (checkpoint / "target.decoder.logits_dense.kernel" / "0.0").unlink()
    with pytest.raises(UserError, match=r"logits_dense/kernel cannot be read .* fetch it again"):
        weights_in(checkpoint)
    with pytest.raises(UserError, match=r"logits_dense/kernel cannot be read .* fetch it again"):
        run(checkpoint, tmp_path / "new", "--to=t5x")  # while Orbax is writing
    assert not (tmp_path / "new").exists()
    shutil.rmtree(checkpoint / "target.decoder.logits_dense.kernel")
    with pytest.raises(UserError, match=r"logits_dense/kernel cannot be read .* fetch it again"):
        convert.open_checkpoint(str(checkpoint))
    (checkpoint / "checkpoint").write_bytes(b"\x93")
    with pytest.raises(UserError, match="cannot be read"):
        convert.open_checkpoint(str(checkpoint))
    shutil.rmtree(tmp_path / "orbax" / "checkpoint_0" / "state" / "d")
    shutil.rmtree(tmp_path / "orbax" / "checkpoint_0" / "state" / "ocdbt.process_0")
    with pytest.raises(UserError, match="cannot be read"):
        weights_in(tmp_path / "orbax")


def test_layers_along_another_axis(tmp_path: Path) -> None:
    export(tmp_path / "hf")
    run(tmp_path / "hf", tmp_path / "t5x", "--to=t5x_legacy", "--scan_layers")
    name = "target.decoder.decoder.pre_mlp_layer_norm.scale"
    path = tmp_path / "t5x" / "checkpoint_0" / name
    shutil.rmtree(path)
    spec: Any = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": str(path)},
        "metadata": {"shape": [2, 16], "dtype": "<f4"},
    }
    array = np.ones((2, 16), np.float32)
    tensorstore.open(spec, create=True).result().write(array).result()
    with pytest.raises(UserError, match="layers are not its axis 1, where T5X stacks them"):
        convert.open_checkpoint(str(tmp_path / "t5x"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"d_model": 512, "d_ff": 1024},
            r"is \(16,\) in the checkpoint and \(512,\) by the model \(\d+ more differ\): "
            r"the checkpoint is of d_model 16, d_ff 24, the model of d_model 512 \(small\), "
            r"d_ff 1024; use the model of the checkpoint, or the checkpoint of the model",
        ),
        ({"logits_via_embedding": True}, "of logits of a table of their own .* tied to the emb"),
        ({"mlp_activations": ("relu",)}, r"of gelu × linear .*, the model of relu feed-forward"),
        ({"relative_bias_per_layer": True}, "shared by all layers .* per layer"),
        ({"vocab_size": 390}, "of vocab_size 384, the model of vocab_size 390"),
        ({"num_heads": 4, "head_dim": 2}, "of num_heads 2, head_dim 4, the model of num_heads 4"),
    ],
)
def test_a_checkpoint_of_another_model_is_explained(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    folder = export(tmp_path / "hf")
    config = config_of("t5_1_1", **changed)
    like = sharding.placed(abstract_params(build(config)), sharding.make_mesh(1))
    with pytest.raises(UserError, match=message):
        convert.initial_params(str(folder), like, config)


def initial_params_on_eight_devices(folder: str) -> list[str]:
    """Reads every format onto a mesh, stacked and not; what comes out wrong."""
    expected = weights_in(f"{folder}/hf")
    wrong = []
    for scan_layers in (False, True):
        config = config_of("t5_1_1", scan_layers=scan_layers)
        like = sharding.placed(abstract_params(build(config)), sharding.make_mesh(2))
        for source in ("hf", "ours", "t5x", "legacy", "scanned"):
            params, step = convert.initial_params(f"{folder}/{source}", like, config)
            right = unflatten_dict(expected, sep="/")
            right = stack_layers(right) if scan_layers else right
            same = jax.tree.map(
                lambda a, b, c: bool((np.asarray(a) == b).all()) and a.sharding == c.sharding,
                params,
                right,
                like,
            )
            wrong += [
                f"{source} {name}" for name, ok in flatten_dict(same, sep="/").items() if not ok
            ]
            wrong += [f"{source} step {step}"] if step != (0 if source == "hf" else 5) else []
    return wrong


def test_training_starts_from_any_format(tmp_path: Path) -> None:
    export(tmp_path / "hf")
    run(tmp_path / "hf", tmp_path / "ours", "--to=ours", "--step=5", "--vocabulary=bytes")
    run(tmp_path / "hf", tmp_path / "t5x", "--to=t5x", "--step=5")
    run(tmp_path / "hf", tmp_path / "legacy", "--to=t5x_legacy", "--step=5")
    run(tmp_path / "hf", tmp_path / "scanned", "--to=t5x", "--step=5", "--scan_layers")
    code = (
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('test_convert', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        f"print(module.initial_params_on_eight_devices({str(tmp_path)!r}))\n"
    )
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_model_card_says_what_is_known(tmp_path: Path) -> None:
    config = config_of("t5_1_1")
    write_ours(tmp_path / "run", config, random_weights(config))
    scores = {"superni_en_def-test-3.json": 41.25, "superni_en_def-test-2.json": 12.5}
    (tmp_path / "run" / "scores").mkdir()
    for name, value in scores.items():
        (tmp_path / "run" / "scores" / name).write_text(json.dumps({"rougeL": value}))
    run(tmp_path / "run", tmp_path / "tk", "--to=huggingface")
    card = (tmp_path / "tk" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for expected in (
        "# tk\n",
        "ByT5, encoder-decoder",
        'AutoModelForSeq2SeqLM.from_pretrained("tk")',
        "Trained to step 3 on `superni_en_def` with tk-instruct, from `flan_t5`",
        "3 tasks: `mine`, `self_instruct`, `superni_en_def`.",
        "Super-NaturalInstructions (arXiv:2204.07705): Apache-2.0 for the collection.",
        "Self-Instruct (arXiv:2212.10560): Apache-2.0 for the seed tasks.",
        "`mine`: licence not recorded.",
        "41.25",
        "DATA_DIR = 'data'",
    ):
        assert expected in card
    for unexpected in ("12.50", "secret", "FLAN"):
        assert unexpected not in card
    run(tmp_path / "tk", tmp_path / "again", "--to=huggingface")
    card = (tmp_path / "again" / "README.md").read_text()
    assert card.count("Not recorded in the checkpoint that these weights come from.") == 2


def test_nothing_is_left_of_a_conversion_that_stops(
    tmp_path: Path,
) -> None:
    folder = export(tmp_path / "hf")
    checkpoint = convert.open_checkpoint(str(folder))

    def interrupt(index: Any) -> Any:
        raise KeyboardInterrupt

    name = "decoder/layers_1/mlp/wo/kernel"
    last = {name: replace(checkpoint.tensors[name], read=interrupt)}
    stops = replace(checkpoint, tensors={**checkpoint.tensors, **last})
    for to in convert.FORMATS:
        with pytest.raises(KeyboardInterrupt):
            convert.convert(stops, tmp_path / "new" / to, to, "bytes")
        assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{hf}", "{new}", "--to=ours"], "holds no vocabulary; give --vocabulary t5, mt5, bytes"),
        (["{hf}", "{hf}", "--to=t5x"], "is there already; give a TO that is not there"),
        (["{hf}", "gs://bucket/x", "--to=t5x"], "gs://bucket/x: TO must be local"),
        (["{hf}", "{new}", "--to=ours", "--scan_layers"], "--scan_layers is a layout of T5X"),
        (["{hf}", "{new}", "--to=t5x", "--vocabulary=t5"], "--vocabulary has no place in --to t5x"),
        (["{hf}", "{new}", "--to=ours", "--step=-1"], "--step=-1 must be at least 0"),
        (["{new}", "{new}", "--to=t5x"], "new is no folder that can be read from here"),
        (["{empty}", "{new}", "--to=t5x"], "empty is no checkpoint: it holds none of config.json"),
        (
            ["{bin}", "{new}", "--to=t5x"],
            "holds pytorch_model.bin and no model.safetensors; write the weights and the tok",
        ),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], message: str) -> None:
    export(tmp_path / "hf")
    (tmp_path / "empty").mkdir()
    shutil.copytree(tmp_path / "hf", tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").rename(tmp_path / "bin" / "pytorch_model.bin")
    places = {name: tmp_path / name for name in ("hf", "new", "empty", "bin")}
    with pytest.raises(UserError, match=message):
        run(*(argument.format(**places) for argument in arguments))
    assert not (tmp_path / "new").exists()


def test_where_tensorstore_looks() -> None:
    google, here = "gs://t5-data/a/checkpoint_1", "relative/"
    expected = {"driver": "gcs", "bucket": "t5-data", "path": "a/checkpoint_1"}
    assert storage.key_value_store(google) == expected
    assert storage.key_value_store(here) == {"driver": "file", "path": f"{Path.cwd()}/relative/"}


def test_a_vocabulary_must_fit(tmp_path: Path, mini_vocabulary: Path) -> None:
    export(tmp_path / "hf")
    message = re.escape("has 1100 ids but") + ".* only 384 rows for them"
    with pytest.raises(UserError, match=message):
        run(tmp_path / "hf", tmp_path / "x", "--to=ours", f"--vocabulary={mini_vocabulary}")


def test_a_link_to_what_is_not_there_stays_and_its_target_is_made(tmp_path: Path) -> None:
    link = tmp_path / "exported"
    link.symlink_to("disk/model")
    with convert._beside(link) as folder:
        folder.mkdir()
        (folder / "weights").touch()
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["model"]
    assert (link / "weights").exists()
