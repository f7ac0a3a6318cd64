"""Hugging Face's folders: config.json and safetensors, in one file or in shards."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from etils import epath
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tk_instruct.convert import storage
from tk_instruct.convert.shapes import expected_shapes
from tk_instruct.convert.tensors import BIAS, Checkpoint, Index, Tensor, batches
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config

MAX_SHARD_BYTES = 10**9
# Rows of embeddings from which on a model is taken for mT5.
MT5_ROWS = 250_000

_ACTIVATIONS = {"relu": ("relu",), "gated-gelu": ("gelu", "linear")}
_ARCHITECTURES = {
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
    "umt5": "UMT5ForConditionalGeneration",
}
_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
_EMBEDDING, _LOGITS = "shared.weight", "lm_head.weight"
_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", _LOGITS)
# In old checkpoints, and read by nothing: cross-attention has no positions.
_UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def stored_name(name: str) -> str:
    """Hugging Face's name of one of our parameters; its own for any other."""
    outside = {"token_embedder/embedding": _EMBEDDING, "decoder/logits_dense/kernel": _LOGITS}
    match = re.fullmatch(r"(encoder|decoder)/(?:layers_(\d+)/)?(\w+)(?:/(\w+))?/\w+", name)
    if name in outside or not match:
        return outside.get(name, name)
    stack, layer, part, projection = match.groups()
    if part == f"{stack}_norm":
        return f"{stack}.final_layer_norm.weight"
    # What all layers share, the first one has.
    block = f"{stack}.block.{layer or 0}.layer"
    mlp = 1 if stack == "encoder" else 2
    if part == "mlp":
        return f"{block}.{mlp}.DenseReluDense.{projection}.weight"
    if part == "relpos_bias":
        return f"{block}.0.SelfAttention.relative_attention_bias.weight"
    letter = {"query": "q", "key": "k", "value": "v", "out": "o"}.get(projection, "")
    return {
        "attention": f"{block}.0.SelfAttention.{letter}.weight",
        "self_attention": f"{block}.0.SelfAttention.{letter}.weight",
        "encoder_decoder_attention": f"{block}.1.EncDecAttention.{letter}.weight",
        "pre_attention_layer_norm": f"{block}.0.layer_norm.weight",
        "pre_self_attention_layer_norm": f"{block}.0.layer_norm.weight",
        "pre_cross_attention_layer_norm": f"{block}.1.layer_norm.weight",
        "pre_mlp_layer_norm": f"{block}.{mlp}.layer_norm.weight",
    }.get(part, name)


def _transposed(name: str) -> bool:
    return name.endswith(("/kernel", f"/{BIAS}"))


def read(path: str) -> Checkpoint:
    """A folder with config.json and *.safetensors, of T5, mT5, umT5 or ByT5.

    bfloat16 and float16 come out as float32, which is exact.
    """
    folder = epath.Path(path)
    said = _read_json(folder / "config.json")
    stored = _stored_tensors(folder)
    config = _config(said, stored, path)
    names = {stored_name(name): name for name in expected_shapes(config)}
    if not set(stored) <= {*names, *_COPIES, _UNUSED}:
        names |= _other_names(config, stored)
    tensors = {}
    for theirs, tensor in stored.items():
        name = names.get(theirs, theirs)
        if name == theirs and theirs in _COPIES:
            _check_copy(theirs, stored, path)
        elif theirs != _UNUSED:
            tensors[name] = tensor.transposed() if _transposed(name) else tensor
    return Checkpoint(
        path=path,
        format="huggingface",
        config=config,
        step=0,
        tensors=tensors,
        vocabulary=_vocabulary(folder),
        stored_name=stored_name,
    )


def _other_names(config: T5Config, stored: Mapping[str, Tensor]) -> dict[str, str]:
    """Our names for what T5s of other depths and feed-forward blocks have."""
    blocks = (re.match(r"\w+\.block\.(\d+)\.", name) for name in stored)
    depth = 1 + max((int(match[1]) for match in blocks if match), default=0)
    deep = replace(config, num_encoder_layers=depth, num_decoder_layers=depth)
    return {
        stored_name(name): name
        for activations in _ACTIVATIONS.values()
        for name in expected_shapes(replace(deep, mlp_activations=activations))
    }


def _read_json(path: epath.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); fetch or save it again") from error


def _config(said: Mapping[str, Any], stored: Mapping[str, Tensor], path: str) -> T5Config:
    family = said.get("model_type")
    if family not in _ARCHITECTURES:
        raise UserError(
            f"{path}/config.json: model_type={family!r} is not one of {', '.join(_ARCHITECTURES)} "
            "(ByT5 and Flan-T5 are t5); convert a model of the T5 family"
        )
    activation = said.get("feed_forward_proj", "relu" if family == "t5" else "gated-gelu")
    if activation not in _ACTIVATIONS:
        raise UserError(
            f"{path}/config.json: feed_forward_proj={activation!r} is not one of "
            f"{', '.join(_ACTIVATIONS)}; there is no such model here"
        )
    sizes = ("vocab_size", "d_model", "num_heads", "d_kv", "d_ff", "num_layers")
    missing = [name for name in sizes if name not in said]
    if missing:
        raise UserError(f"{path}/config.json does not say {', '.join(missing)}; fetch it again")
    layers = said["num_layers"]
    return T5Config(
        vocab_size=said["vocab_size"],
        d_model=said["d_model"],
        num_heads=said["num_heads"],
        head_dim=said["d_kv"],
        d_ff=said["d_ff"],
        num_encoder_layers=layers,
        num_decoder_layers=said.get("num_decoder_layers") or layers,
        mlp_activations=_ACTIVATIONS[activation],
        logits_via_embedding=_tied(family, said, stored),
        relative_bias_per_layer=family == "umt5",
        relative_attention_num_buckets=said.get("relative_attention_num_buckets", 32),
        relative_attention_max_distance=said.get("relative_attention_max_distance", 128),
        dropout_rate=said.get("dropout_rate", 0.1),
        layer_norm_epsilon=said.get("layer_norm_epsilon", 1e-6),
    )


def _tied(family: str, said: Mapping[str, Any], stored: Mapping[str, Tensor]) -> bool:
    """Whether logits come from the embedding, as transformers 4 and 5 have meant their files.

    transformers 5 writes tie_word_embeddings=true whatever the model, for t5 beside
    scale_decoder_outputs, which says it.
    """
    ties = said.get("tie_word_embeddings") is not False
    if family == "t5":
        return bool(said.get("scale_decoder_outputs", ties))
    return ties and (_LOGITS not in stored or _equal(stored[_LOGITS], stored.get(_EMBEDDING)))


def _check_copy(name: str, stored: Mapping[str, Tensor], path: str) -> None:
    if not _equal(stored[name], stored.get(_EMBEDDING)):
        tie = " (tie_word_embeddings in config.json is not false)" if name == _LOGITS else ""
        shapes = f"{stored[name].shape} and {stored[_EMBEDDING].shape}"
        raise UserError(
            f"{path}: {name} is not the same as {_EMBEDDING} ({shapes}), but the model has one "
            f"table for both{tie}; correct config.json, or take out the one that was not trained"
        )


def _equal(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.shape != other.shape:
        return False
    rows, every = one.shape[0], 2**14
    starts = range(0, rows, every)
    parts = ((slice(i, min(i + every, rows)), slice(None)) for i in starts)
    return all(np.array_equal(one.read(part), other.read(part)) for part in parts)


def _stored_tensors(folder: epath.Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        files = sorted(set(_read_json(index)["weight_map"].values()))
    else:
        files = sorted(file.name for file in folder.glob("*.safetensors"))
    if not files:
        other = (
            "pytorch_model.bin, which runs code when it is read, "
            if any(folder.glob("pytorch_model*.bin"))
            else ""
        )
        raise UserError(
            f"{folder} holds {other}no *.safetensors; write them with transformers: "
            "AutoModelForSeq2SeqLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    absent = [name for name in files if not (folder / name).exists()]
    if absent:
        raise UserError(
            f"{folder} lacks {', '.join(absent)}, which {index.name} names; fetch what is missing"
        )
    local = _local_copies(folder)
    return {name: tensor for file in files for name, tensor in _tensors_in(local(file)).items()}


def _local_copies(folder: epath.Path) -> Callable[[str], str]:
    """The local path of one of the folder's files; from gs:// it is copied, once."""
    if not str(folder).startswith("gs://"):
        return lambda name: str(folder / name)
    kept = tempfile.TemporaryDirectory(prefix="tk-instruct-convert")

    @cache
    def copy(name: str) -> str:
        target = Path(kept.name) / name
        with (folder / name).open("rb") as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 2**24)
        return str(target)

    return copy


def _tensors_in(file: str) -> dict[str, Tensor]:
    def read(name: str, index: Index) -> np.ndarray:
        # Opened each time: what an open file has mapped or cached adds up.
        try:
            with safe_open(file, "np", backend="pread") as opened:
                return opened.get_slice(name)[index].astype(np.float32, copy=False)
        except (SafetensorError, OSError) as error:
            raise storage.unreadable(name, file, error) from error

    tensors = {}
    try:
        with safe_open(file, "np", backend="pread") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dictionary
                part = opened.get_slice(name)
                dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
                storage.check_dtype(dtype, name, file)
                shape = tuple(part.get_shape())
                tensors[name] = Tensor(shape, partial(read, name))
    except (SafetensorError, OSError) as error:
        raise storage.unreadable("the header", file, error) from error
    return tensors


def _vocabulary(folder: epath.Path) -> str | None:
    if (folder / "spiece.model").exists():
        return str(folder / "spiece.model")
    said = folder / "tokenizer_config.json"
    of_bytes = said.exists() and _read_json(said).get("tokenizer_class") == "ByT5Tokenizer"
    return "bytes" if of_bytes else None


def family_of(config: T5Config | DecoderConfig) -> str:
    """The model_type that computes what the model does; raises UserError where none does."""
    if isinstance(config, DecoderConfig):
        raise UserError(
            "Hugging Face has no decoder-only model of T5's layers; convert it --to ours or t5x"
        )
    if config.mlp_activations not in _ACTIVATIONS.values():
        raise UserError(
            f"mlp_activations={config.mlp_activations} has no Hugging Face model; only "
            f"{' and '.join(map(str, _ACTIVATIONS.values()))} do"
        )
    if config.relative_bias_per_layer:
        return "umt5"
    return "t5" if config.logits_via_embedding or config.vocab_size < MT5_ROWS else "mt5"


def config_json(config: T5Config | DecoderConfig) -> dict[str, Any]:
    """What config.json says, for transformers 4 and 5."""
    family = family_of(config)
    assert isinstance(config, T5Config)  # or there is no family
    feed_forward = {value: name for name, value in _ACTIVATIONS.items()}[config.mlp_activations]
    return {
        "architectures": [_ARCHITECTURES[family]],
        "d_ff": config.d_ff,
        "d_kv": config.head_dim,
        "d_model": config.d_model,
        "decoder_start_token_id": 0,
        "dropout_rate": config.dropout_rate,
        "dtype": "float32",
        "eos_token_id": 1,
        "feed_forward_proj": feed_forward,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "model_type": family,
        "num_decoder_layers": config.num_decoder_layers,
        "num_heads": config.num_heads,
        "num_layers": config.num_encoder_layers,
        "pad_token_id": 0,
        "relative_attention_max_distance": config.relative_attention_max_distance,
        "relative_attention_num_buckets": config.relative_attention_num_buckets,
        "tie_word_embeddings": config.logits_via_embedding,
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }


def write(folder: Path, config: T5Config | DecoderConfig, tensors: Mapping[str, Tensor]) -> None:
    """config.json, generation_config.json and model.safetensors, in shards of about 1 GB."""
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", config_json(config))
    tokens = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    _write_json(folder / "generation_config.json", tokens)
    shards = batches(tensors, MAX_SHARD_BYTES)
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = "model.safetensors"
        if len(shards) > 1:
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weight_map |= {stored_name(name): file for name in names}
        shard = {stored_name(name): _theirs(name, tensors[name]).whole() for name in names}
        save_file(shard, folder / file, metadata={"format": "pt"})
        shutil.copymode(folder / "config.json", folder / file)  # safetensors lets only us read it
        del shard  # before the next one is read
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_json(folder / "model.safetensors.index.json", index)


def _theirs(name: str, tensor: Tensor) -> Tensor:
    return tensor.transposed() if _transposed(name) else tensor


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
