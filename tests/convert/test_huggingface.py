"""Hugging Face's folders as people have them: what transformers reads, and what is refused."""

import argparse
import json
import os
import pickle
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tensorstore
from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file, save_file

from tk_instruct import convert
from tk_instruct.errors import UserError
from tk_instruct.model import build

Weights = dict[str, np.ndarray]

CONFIG: dict[str, Any] = {
    "architectures": ["T5ForConditionalGeneration"],
    "d_ff": 24,
    "d_kv": 4,
    "d_model": 16,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.0,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": True,
    "model_type": "t5",
    "num_heads": 2,
    "num_layers": 1,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "vocab_size": 32,
}
# One layer a stack; umT5's tensors have the same names then.
_ATTENTION = {"q": (8, 16), "k": (8, 16), "v": (8, 16), "o": (16, 8)}
_MLP = {"wi_0": (24, 16), "wi_1": (24, 16), "wo": (16, 24)}
SHAPES: dict[str, tuple[int, ...]] = {"shared": (32, 16), "lm_head": (32, 16)}
for _stack, _parts in (
    ("encoder", {"SelfAttention": _ATTENTION, "DenseReluDense": _MLP}),
    (
        "decoder",
        {"SelfAttention": _ATTENTION, "EncDecAttention": _ATTENTION, "DenseReluDense": _MLP},
    ),
):
    for _i, (_part, _projections) in enumerate(_parts.items()):
        _layer = f"{_stack}.block.0.layer.{_i}"
        SHAPES |= {f"{_layer}.{_part}.{name}": shape for name, shape in _projections.items()}
        SHAPES[f"{_layer}.layer_norm"] = (16,)
    SHAPES[f"{_stack}.block.0.layer.0.SelfAttention.relative_attention_bias"] = (32, 2)
    SHAPES[f"{_stack}.final_layer_norm"] = (16,)
SHARED, HEAD = "shared.weight", "lm_head.weight"
ENCODER_TABLE, DECODER_TABLE = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"


def weights(seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        f"{name}.weight": (rng.standard_normal(shape) + (len(shape) == 1)).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def write(folder: Path, stored: Weights, **said: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **said}))
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def renamed(stored: Weights, **names: str) -> Weights:
    return {f"{names.get(name.removesuffix('.weight'), name)}": a for name, a in stored.items()}


def without(*names: str) -> Weights:
    return {name: array for name, array in weights().items() if name not in names}


def tables(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The table of embeddings, and the output layer of an untied model, [vocab, width] both."""
    tensors = convert.open_checkpoint(str(folder)).tensors
    head = tensors.get("decoder/logits_dense/kernel")
    return tensors["token_embedder/embedding"].whole(), head.whole().T if head else None


def run(*arguments: Any) -> None:
    parser = argparse.ArgumentParser()
    convert.add_arguments(parser)
    assert convert.main(parser.parse_args(list(map(str, arguments)))) == 0


V5_UNSCALED = {"tie_word_embeddings": True, "scale_decoder_outputs": False}
TIED = {"tie_word_embeddings": True}
MT5, UMT5 = {"model_type": "mt5", **TIED}, {"model_type": "umt5"}
# What is stored, what config.json says of it, and which arrays are the table and the output layer.
READ: dict[str, tuple[Weights, dict[str, Any], str, str | None]] = {
    "t5_1_1": (weights(), {}, SHARED, HEAD),
    "decoder_table": (renamed(weights(), shared=DECODER_TABLE), {}, SHARED, HEAD),
    "encoder_table": (renamed(weights(), shared=ENCODER_TABLE), {}, SHARED, HEAD),
    "tied_as_head": (without(SHARED), TIED, HEAD, None),
    "tied_as_decoder_table": (
        renamed(without(HEAD), shared=DECODER_TABLE),
        TIED,
        SHARED,
        None,
    ),
    "resized_by_5": (without(HEAD), V5_UNSCALED, SHARED, SHARED),
    "resized_by_5_as_head": (without(SHARED), V5_UNSCALED, HEAD, HEAD),
    "saved_by_5": (weights(), V5_UNSCALED, SHARED, HEAD),
    "mt5_of_5": (weights(), MT5, SHARED, HEAD),
    "mt5_tied": (without(HEAD), MT5, SHARED, SHARED),
    "mt5_of_5_equal": ({**weights(), HEAD: weights()[SHARED].copy()}, MT5, SHARED, SHARED),
    "umt5": (weights(), UMT5, SHARED, HEAD),
    "umt5_tied": (without(HEAD), {**UMT5, **TIED}, SHARED, None),
    "umt5_tied_unscaled": (without(HEAD), {**UMT5, **V5_UNSCALED}, SHARED, SHARED),
    "data_parallel": ({f"module.{n}": a for n, a in weights().items()}, {}, SHARED, HEAD),
    "in_another_model": ({f"a.model.{n}": a for n, a in weights().items()}, {}, SHARED, HEAD),
    "compiled": ({f"_orig_mod.{n}": a for n, a in weights().items()}, {}, SHARED, HEAD),
}


@pytest.mark.parametrize("name", READ)
def test_tables_under_any_name(name: str, tmp_path: Path) -> None:
    stored, said, table, head = READ[name]
    found_table, found_head = tables(write(tmp_path / "hf", stored, **said))
    np.testing.assert_array_equal(found_table, weights()[table])
    assert (found_head is None) == (head is None)
    if head:
        np.testing.assert_array_equal(found_head, weights()[head])


@pytest.mark.parametrize(
    "name", [name for name in READ if name not in ("data_parallel", "compiled", "in_another_model")]
)
def test_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", minversion="5.24")
    stored, said, _, _ = READ[name]
    kind = {"mt5": "MT5", "umt5": "UMT5"}.get(said.get("model_type", "t5"), "T5")
    architectures = [f"{kind}ForConditionalGeneration"]
    folder = write(tmp_path / "hf", stored, **said, architectures=architectures)
    inputs, targets = np.array([[5, 6, 7, 8, 1]]), np.array([[0, 9, 10]])
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(inputs), decoder_input_ids=torch.tensor(targets)
        ).logits.numpy()
    checkpoint = convert.open_checkpoint(str(folder))
    params = {name: tensor.whole() for name, tensor in checkpoint.tensors.items()}
    found = jax.jit(
        lambda params: build(checkpoint.config).apply(
            {"params": unflatten_dict(params, sep="/")},
            inputs,
            targets,
            encoder_segment_ids=np.ones_like(inputs),
            decoder_segment_ids=np.ones_like(targets),
            deterministic=True,
        )
    )(params)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=2e-5)


def write_shards(folder: Path, stored: Weights, names: tuple[str, ...]) -> None:
    parts: dict[str, Weights] = {name: {} for name in names}
    for i, (name, array) in enumerate(stored.items()):
        parts[names[i % len(names)]][name] = array
    for file, part in parts.items():
        save_file(part, folder / file)
    weight_map = {name: file for file, part in parts.items() for name in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def test_the_single_file_is_read_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "hf", weights(1))
    write_shards(folder, weights(2), SHARDS)  # an older save
    for name in ("ema.safetensors", "adapter_model.safetensors", "zz.safetensors"):
        save_file(weights(3), folder / name)
    np.testing.assert_array_equal(tables(folder)[0], weights(1)[SHARED])
    (folder / SHARDS[0]).unlink()  # the index is stale
    np.testing.assert_array_equal(tables(folder)[0], weights(1)[SHARED])


def test_shards_are_read_and_nothing_beside_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "hf", weights(1))
    (folder / "model.safetensors").unlink()
    write_shards(folder, weights(2), SHARDS)
    save_file(weights(3), folder / "ema.safetensors")
    np.testing.assert_array_equal(tables(folder)[0], weights(2)[SHARED])
    (folder / SHARDS[0]).unlink()
    with pytest.raises(
        UserError, match=f"lacks {SHARDS[0]}, which .* or, if ema.safetensors is the model, call it"
    ):
        convert.open_checkpoint(str(folder))
    write_shards(folder, weights(2), SHARDS)
    extra = load_file(folder / SHARDS[0])
    save_file({**extra, "twice.weight": np.ones(2, np.float32)}, folder / SHARDS[0])
    save_file({**load_file(folder / SHARDS[1]), **extra}, folder / SHARDS[1])
    with pytest.raises(UserError, match=f"is in {SHARDS[0]} and in {SHARDS[1]}; they are of two"):
        convert.open_checkpoint(str(folder))
    save_file({}, folder / SHARDS[1])
    with pytest.raises(UserError, match=f"is not in {SHARDS[1]}, where .* has it; the index and"):
        convert.open_checkpoint(str(folder))


def edited(change: Callable[[Weights], Any]) -> Weights:
    stored = weights()
    change(stored)
    return stored


@pytest.mark.parametrize(
    ("stored", "said", "message"),
    [
        (
            weights(),
            TIED,
            r"lm_head.weight is not the same as shared.weight .*embeddings.: false and",
        ),
        (weights(), {**UMT5, **TIED}, "transformers 4 and 5 compute two things from that"),
        (
            {**weights(), DECODER_TABLE: weights(1)[SHARED]},
            {},
            f"{DECODER_TABLE} is not the same as {SHARED} .* take out the one that was not trained",
        ),
        (without(HEAD), {}, "lm_head.weight is not there. .* not whole: fetch it again. Or"),
        (without(SHARED), {}, "shared.weight is not there. .* not whole: fetch it again. Or"),
        (
            without(HEAD),
            {**MT5, "transformers_version": "4.44.0"},
            'if it was 4, "tie_word_embeddings": true and "model_type": "t5"',
        ),
        (without(SHARED, HEAD), TIED, "shared.weight. is missing in the checkpoint"),
        (
            {n: a for n, a in weights().items() if n.startswith(("encoder", "shared"))},
            {},
            "holds an encoder alone: its 12 tensors begin with encoder.* use a whole model",
        ),
        (
            {n: a for n, a in weights().items() if n.startswith(("decoder", "shared"))},
            {},
            "holds a decoder alone",
        ),
        (
            {**weights(), "classification_head.dense.weight": np.ones((16, 16), np.float32)},
            {},
            "holds classification_head.dense.weight, of a classifier or another head",
        ),
        (
            {
                **{f"transformer.{n}": a for n, a in weights().items()},
                "classifier.bias": np.ones(2),
            },
            {},
            "holds classifier.bias, of a classifier",
        ),
        (
            {
                **weights(),
                "encoder.block.0.layer.0.SelfAttention.q.lora_A.weight": np.ones((2, 16)),
            },
            {},
            "of an adapter that is not merged; merge it into its model first",
        ),
        (
            weights(),
            {"eos_token_id": 2},
            r"config.json: eos_token_id=2, but models here have eos_to",
        ),
        ({"wte.weight": np.ones((32, 16)), "h.0.b": np.ones(2)}, {}, "holds no T5: its 2 tensors"),
        (
            weights(),
            {"transformers_weights": "x.safetensors"},
            "call it so, and take the field out",
        ),
        (weights(), {"eos_token_id": [1, 32]}, r"eos_token_id=\[1, 32\], but"),
        (weights(), {"pad_token_id": 1}, "pad_token_id=1, but models here have pad_token_id=0"),
        (weights(), {"decoder_start_token_id": 250}, "decoder_start_token_id=250, but"),
        (
            weights(),
            {"d_model": "16"},
            'config.json: d_model is "16" but must be a whole number; correct',
        ),
        (weights(), {"num_layers": [1]}, r"num_layers is \[1\] but must be a whole number"),
        (weights(), {"num_layers": 1.0}, "num_layers is 1.0 but must be a whole number"),
        (weights(), {"num_heads": True}, "num_heads is true but must be a whole number"),
        (weights(), {"eos_token_id": True}, "eos_token_id is true but must be a whole number"),
        (weights(), {"pad_token_id": False}, "pad_token_id is false but must be a whole number"),
        (weights(), {"num_decoder_layers": -1}, "num_decoder_layers=-1 must be a whole number ≥ 1"),
        (weights(), {"num_heads": 0}, "config.json: num_heads=0 must be a whole number ≥ 1"),
        (weights(), {"vocab_size": 1e9}, "vocab_size is 1000000000.0 but must be a whole number"),
        (weights(), {"vocab_size": 10**9}, "vocab_size=1000000000 must be a whole number ≤ 4194"),
        (weights(), {"d_kv": None}, "config.json: d_kv is null but must be a whole number"),
        (weights(), {"transformers_version": 5}, "transformers_version is 5 but must be a string"),
        (weights(), {"d_ff": -24}, "config.json: d_ff=-24 must be a whole number ≥ 1"),
        (
            weights(),
            {"num_layers": 10**6},
            "num_layers=1000000, but the files hold only 29 tensors",
        ),
        (weights(), {"num_decoder_layers": 10**9}, "num_decoder_layers=1000000000, but the files"),
        (weights(), {"vocab_size": 10**30}, "vocab_size=1000000000.* must be a whole number"),
        (
            weights(),
            {"layer_norm_epsilon": float("nan")},
            "layer_norm_epsilon is NaN but must be a number",
        ),
        (weights(), {"dropout_rate": "none"}, 'dropout_rate is "none" but must be a number'),
        (
            weights(),
            {"tie_word_embeddings": "false"},
            'tie_word_embeddings is "false" but must be true or',
        ),
        (
            weights(),
            {"scale_decoder_outputs": 0},
            "scale_decoder_outputs is 0 but must be true or false",
        ),
        (weights(), {"model_type": ["t5"]}, r"model_type=\['t5'\] is not one of t5, mt5, umt5"),
        (weights(), {"feed_forward_proj": 3}, "feed_forward_proj is 3 but must be a string"),
        (weights(), {"dense_act_fn": "gelu"}, "dense_act_fn='gelu' is not 'gelu_new'"),
        (
            {**weights(), "encoder.block.999999999.layer.0.layer_norm.weight": np.ones(16)},
            {},
            "999999999",
        ),
    ],
)
def test_what_is_no_model_of_ours_is_explained(
    stored: Weights, said: dict[str, Any], message: str, tmp_path: Path
) -> None:
    stored = {name: np.asarray(array, np.float32) for name, array in stored.items()}
    with pytest.raises(UserError, match=message):
        convert.open_checkpoint(str(write(tmp_path / "hf", stored, **said)))


def test_token_ids_of_generation(tmp_path: Path) -> None:
    folder = write(tmp_path / "hf", weights())
    said = {"eos_token_id": [1], "pad_token_id": 0, "decoder_start_token_id": None, "num_beams": 4}
    (folder / "generation_config.json").write_text(json.dumps(said))
    convert.open_checkpoint(str(folder))
    (folder / "generation_config.json").write_text(json.dumps({"forced_bos_token_id": 5}))
    with pytest.raises(UserError, match=r"generation_config.json: forced_bos_token_id=5, but"):
        convert.open_checkpoint(str(folder))
    (folder / "generation_config.json").write_text("[]")
    with pytest.raises(
        UserError, match=r"generation_config.json: the document is \[\] but must be an object"
    ):
        convert.open_checkpoint(str(folder))


def test_folders_that_hold_models_deeper(tmp_path: Path) -> None:
    for place in ("trainer/checkpoint-500", "trainer/checkpoint-1000"):
        (tmp_path / place).mkdir(parents=True)
        write(tmp_path / place, weights())
    (tmp_path / "trainer" / "training_args.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint-1000, .*checkpoint-500 may be .* give one"):
        convert.open_checkpoint(str(tmp_path / "trainer"))
    cached = tmp_path / "models--google--t5" / "snapshots" / "abc"
    blobs = tmp_path / "models--google--t5" / "blobs"
    blobs.mkdir(parents=True)
    cached.mkdir(parents=True)
    write(tmp_path / "t5", weights())
    write_shards(tmp_path / "t5", weights(), SHARDS)
    (tmp_path / "t5" / "model.safetensors").unlink()
    for i, file in enumerate(sorted((tmp_path / "t5").iterdir())):
        shutil.copy(file, blobs / str(i))
        (cached / file.name).symlink_to(os.path.relpath(blobs / str(i), cached))
    with pytest.raises(UserError, match=r"snapshots/abc may be one of .* the hub's cache.; give"):
        convert.open_checkpoint(str(cached.parent.parent))
    np.testing.assert_array_equal(tables(cached)[0], weights()[SHARED])


def test_folders_of_something_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "hf", weights())
    with pytest.raises(UserError, match=r"model.safetensors is a file; give the folder"):
        convert.open_checkpoint(str(folder / "model.safetensors"))
    (folder / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"holds model.safetensors, but no config.json that says"):
        convert.open_checkpoint(str(folder))
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds an adapter and no model; merge it"):
        convert.open_checkpoint(str(folder))
    (folder / "adapter_config.json").unlink()
    (tmp_path / "config.json").rename(folder / "config.json")
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    with pytest.raises(UserError, match=r"holds model.fp16.safetensors, but neither model.safet"):
        convert.open_checkpoint(str(folder))
    (folder / "model.fp16.safetensors").rename(folder / "flax_model.msgpack")
    with pytest.raises(
        UserError, match=r"holds flax_model.msgpack and no model.safetensors, which alone"
    ):
        convert.open_checkpoint(str(folder))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite(value: float, tmp_path: Path) -> None:
    folder = write(tmp_path / "hf", weights())
    run(folder, tmp_path / "t5x", "--to=t5x_legacy")
    name = "decoder.block.0.layer.2.DenseReluDense.wo.weight"
    write(folder, edited(lambda stored: stored[name].__setitem__((3, 4), value)))
    message = rf"decoder/layers_0/mlp/wo/kernel \({name}\) holds 1 values that are no finite"
    for to in ("t5x", "t5x_legacy"):
        with pytest.raises(UserError, match=message):
            run(folder, tmp_path / "new", f"--to={to}")
        assert not (tmp_path / "new").exists()
    tied = without(HEAD)
    tied[SHARED][5] = value
    write(folder, {**tied, HEAD: tied[SHARED].copy()}, **TIED)
    with pytest.raises(UserError, match=r"embedding \(shared.weight\) holds 16 values that are no"):
        run(folder, tmp_path / "new", "--to=t5x")
    # In another format.
    chunk = tmp_path / "t5x" / "checkpoint_0" / "target.encoder.encoder_norm.scale"
    spec: Any = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(chunk)}}
    tensorstore.open(spec).result()[3].write(np.float32(value)).result()
    with pytest.raises(UserError, match="encoder/encoder_norm/scale holds 1 values that are no"):
        run(tmp_path / "t5x", tmp_path / "new", "--to=t5x")


def header_of(file: Path) -> tuple[dict[str, Any], bytes]:
    content = file.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def with_header(file: Path, header: Any, data: bytes, size: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)


def _cut(file: Path, header: Any, data: bytes) -> None:
    with_header(file, header, data[:-4])


def _longer(file: Path, header: Any, data: bytes) -> None:
    with_header(file, header, data + bytes(4))


def _huge_header(file: Path, header: Any, data: bytes) -> None:
    with_header(file, header, data, 2**63)


def _overlap(file: Path, header: Any, data: bytes) -> None:
    one, other = list(header)[1:3]
    header[one]["data_offsets"] = header[other]["data_offsets"]
    header[one]["shape"] = header[other]["shape"]
    with_header(file, header, data)


def _other_shape(file: Path, header: Any, data: bytes) -> None:
    header[HEAD]["shape"] = [33, 16]
    with_header(file, header, data)


def _beyond(file: Path, header: Any, data: bytes) -> None:
    header[HEAD]["data_offsets"] = [2**40, 2**40 + 2048]
    with_header(file, header, data)


def _negative(file: Path, header: Any, data: bytes) -> None:
    header[HEAD]["shape"] = [-32, -16]
    with_header(file, header, data)


def _pointer(file: Path, header: Any, data: bytes) -> None:
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


@pytest.mark.parametrize(
    "damage",
    [_cut, _longer, _huge_header, _overlap, _other_shape, _beyond, _negative, _pointer],
)
def test_a_damaged_file_is_refused(damage: Callable[..., None], tmp_path: Path) -> None:
    file = write(tmp_path / "hf", weights()) / "model.safetensors"
    damage(file, *header_of(file))
    with pytest.raises(UserError, match=r"the header cannot be read .* fetch it again"):
        convert.open_checkpoint(str(file.parent))


def test_an_index_names_files_of_its_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", weights())
    folder = write(tmp_path / "hf", weights())
    (folder / "model.safetensors").unlink()
    (folder / "sub").mkdir()
    shutil.copy(outside / "model.safetensors", folder / "sub" / "model.safetensors")
    (folder / "link.safetensors").symlink_to(outside / "model.safetensors")
    for file in (
        "../outside/model.safetensors",
        str(outside / "model.safetensors"),
        "sub/model.safetensors",
        "..",
        "",
        "link.safetensors",
        "a\\b.safetensors",
    ):
        index = {"weight_map": {SHARED: file}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(UserError, match="which is no file of its folder; take a folder from a"):
            convert.open_checkpoint(str(folder))
    damaged = [{"weight_map": x} for x in ([], {}, {SHARED: 3}, {SHARED: [SHARDS[0]]}, None, "x")]
    for content in ("[]", "{}", "[" * 100_000, "\xff", *map(json.dumps, damaged)):
        (folder / "model.safetensors.index.json").write_text(content)
        with pytest.raises(UserError, match=r"model.safetensors.index.json: "):
            convert.open_checkpoint(str(folder))


def advised(folder: Path) -> str:
    """The command that the message about a folder ends with."""
    with pytest.raises(UserError) as raised:
        convert.open_checkpoint(str(folder))
    message, command = str(raised.value).split("\n")
    assert command.startswith("  python -c ")
    if "pytorch_model" in message:
        assert "a pickle can run code: do it only if you trust" in message
        assert "weights_only=True" in command
    return command.strip().replace("python", shlex.quote(sys.executable), 1)


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json alone, as transformers 5 saves it."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "▁b", "<extra_id_1>", "<extra_id_0>"]
    scores = [0.0, 0.0, 0.0, -3.0, -4.0, -4.0, -5.0, -6.0, 0.0, 0.0]
    vocab = list(zip(pieces, scores, strict=True))
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    content = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": space,
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": False},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))


def test_a_pickle_is_written_anew_as_the_message_says(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers", minversion="5")
    folder = write(tmp_path / "a folder's", weights())
    write_tokenizer(folder)
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 2}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "model.safetensors").unlink()
    state = {name: torch.from_numpy(array) for name, array in weights().items()}
    torch.save(state, folder / "pytorch_model.bin")
    command = advised(folder)
    subprocess.run(command, shell=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    new = Path(f"{folder}-new")
    np.testing.assert_array_equal(tables(new)[0], weights()[SHARED])
    run(new, tmp_path / "ours", "--to=ours")
    assert (tmp_path / "ours" / "sentencepiece.model").exists()
    marker = tmp_path / "marker"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Writes(marker)))
    shutil.rmtree(new)
    assert subprocess.run(advised(folder), shell=True, check=False, capture_output=True).returncode
    assert not marker.exists()


class Writes:
    """Unpickling it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_a_hostile_folder_runs_and_writes_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    auto = {"AutoConfig": "evil.C", "AutoModelForSeq2SeqLM": "evil.M", "AutoTokenizer": "evil.T"}
    folder = write(tmp_path / "hf", weights(), auto_map=auto, custom_pipelines={"x": "evil"})
    for name in ("evil.py", "modeling_t5.py", "conftest.py", "setup.py", "sitecustomize.py"):
        (folder / name).write_text(code)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "spiece.model"):
        (folder / name).write_bytes(pickle.dumps(Writes(marker)))
    settings = {"tokenizer_class": "evil.T", "auto_map": auto, "vocab_file": "../marker"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"spiece.model cannot be loaded as a SentencePiece model"):
        run(folder, tmp_path / "out", "--to=t5x_legacy")
    (folder / "spiece.model").unlink()
    before = sorted(tmp_path.rglob("*"))
    run(folder, tmp_path / "out", "--to=t5x_legacy")
    out = tmp_path / "out"
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(out)] == before
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="only if you trust the file's source") as caught:
        run(folder, tmp_path / "out2", "--to=t5x_legacy")
    assert "AutoTokenizer" in str(caught.value)
    assert not marker.exists()


def test_a_tokenizer_with_added_tokens_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "hf", weights())
    (folder / "added_tokens.json").write_text(json.dumps({"{": 28, "\n": 29}))
    message = r"added_tokens.json adds '\{' \(28\), '\\n' \(29\) to the tokenizer"
    for arguments in (["--to=t5x_legacy"], ["--to=ours", "--vocabulary=bytes"]):
        with pytest.raises(UserError, match=message):
            run(folder, tmp_path / "new", *arguments)
    bytes_ = {"tokenizer_class": "ByT5Tokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(bytes_))
    with pytest.raises(UserError, match=message):
        convert.open_checkpoint(str(folder))
    # What ByT5's folders list.
    (folder / "added_tokens.json").write_text(json.dumps({"<pad>": 0, "<extra_id_0>": 259}))
    assert convert.open_checkpoint(str(folder)).vocabulary == "bytes"


def test_tokenizer_json_goes_with_the_model(tmp_path: Path) -> None:
    """As transformers 5 saves it, without spiece.model."""
    from tk_instruct.data.vocabulary import vocabulary

    folder = write(tmp_path / "hf", weights())
    write_tokenizer(folder)
    run(folder, tmp_path / "ours", "--to=ours")
    run(tmp_path / "ours", tmp_path / "back", "--to=huggingface")
    for name in ("hf/tokenizer.json", "ours/sentencepiece.model", "back/spiece.model"):
        found = vocabulary(str(tmp_path / name))
        assert found.vocab_size == 10
        assert list(found.encode("ab b <extra_id_1>")) == [6, 7, 8]
