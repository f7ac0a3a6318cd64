"""Hugging Face's folders: config.json and safetensors, in one file or in shards."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from etils import epath
from safetensors.numpy import save_file

from tk_instruct import schema
from tk_instruct.convert.shapes import expected_shapes
from tk_instruct.convert.tensors import BIAS, Checkpoint, Tensor, batches
from tk_instruct.convert.weight_files import REPAIR, WEIGHTS, WEIGHTS_INDEX, stored_tensors
from tk_instruct.data import tokenizer_files
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config

T = TypeVar("T")
MAX_SHARD_BYTES = 10**9
# A model with at least this many rows of embeddings is taken for mT5.
MT5_ROWS = 250_000

_ACTIVATIONS = {"relu": ("relu",), "gated-gelu": ("gelu", "linear")}
_ARCHITECTURES = {
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
    "umt5": "UMT5ForConditionalGeneration",
}
_EMBEDDING, _LOGITS = "shared.weight", "lm_head.weight"
_TABLES = (_EMBEDDING, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", _LOGITS)
_SPECIAL_TOKENS = {
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "forced_bos_token_id": None,
}
_TokenId = int | list[int] | None


class _SpecialTokens(msgspec.Struct, frozen=True):
    """The special tokens in config.json and generation_config.json."""

    pad_token_id: _TokenId = None
    eos_token_id: _TokenId = None
    decoder_start_token_id: _TokenId = None
    forced_bos_token_id: _TokenId = None


class _Config(msgspec.Struct, frozen=True):
    """config.json; null means the same as an absent field."""

    vocab_size: int
    d_model: int
    num_heads: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int | None = None
    feed_forward_proj: str | None = None
    dense_act_fn: str | None = None
    relative_attention_num_buckets: int | None = None
    relative_attention_max_distance: int | None = None
    dropout_rate: float | None = None
    layer_norm_epsilon: float | None = None
    tie_word_embeddings: bool | None = None
    scale_decoder_outputs: bool | None = None
    transformers_version: str | None = None
    transformers_weights: str | None = None


class _Tokenizer(msgspec.Struct, frozen=True):
    """tokenizer_config.json; data.tokenizer_files reads its other fields."""

    tokenizer_class: str | None = None


# Old checkpoints have it, but nothing reads it: cross-attention has no positions.
_UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def stored_name(name: str) -> str:
    """Hugging Face's name of one of our parameters; any other name unchanged."""
    outside = {"token_embedder/embedding": _EMBEDDING, "decoder/logits_dense/kernel": _LOGITS}
    match = re.fullmatch(r"(encoder|decoder)/(?:layers_(\d+)/)?(\w+)(?:/(\w+))?/\w+", name)
    if name in outside or not match:
        return outside.get(name, name)
    stack, layer, part, projection = match.groups()
    if part == f"{stack}_norm":
        return f"{stack}.final_layer_norm.weight"
    # The first layer has what all layers share.
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
    """A folder with config.json and model.safetensors, of T5, mT5, umT5 or ByT5.

    The model computes the same as transformers 5 does from the same files. bfloat16 and float16
    are read as float32, which is exact.

    Raises:
        UserError: it is damaged, of another kind, or of a model that does not exist here.
    """
    folder = epath.Path(path)
    file = f"{path}/config.json"
    document = schema.read(file, dict[str, Any], REPAIR)
    family = _family(document, file)
    for settings in (file, f"{path}/generation_config.json"):
        if epath.Path(settings).exists():
            _check_special_tokens(schema.read(settings, _SpecialTokens, REPAIR), settings)
    said = schema.convert(document, _Config, file, REPAIR)
    if said.transformers_weights not in (None, WEIGHTS):
        raise UserError(
            f"{file}: transformers_weights={said.transformers_weights!r} names the file of the "
            f"weights, but here it is {WEIGHTS}; call it so, and take the field out"
        )
    stored = stored_tensors(folder)
    _check_kind(stored, path)
    stored.pop(_UNUSED, None)
    stored, tied = _tables(said, family, stored, path)
    config = _config(said, family, tied, len(stored), file)
    names = {stored_name(name): name for name in expected_shapes(config)}
    if not set(stored) <= set(names):
        names |= _other_names(config, stored)
    tensors = {}
    for theirs, tensor in stored.items():
        name = names.get(theirs, theirs)
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
    """Our names for the tensors of T5s with other depths and feed-forward blocks."""
    blocks = (re.match(r"\w+\.block\.(\d+)\.", name) for name in stored)
    depth = len({match[1] for match in blocks if match}) or 1
    deep = replace(config, num_encoder_layers=depth, num_decoder_layers=depth)
    return {
        stored_name(name): name
        for activations in _ACTIVATIONS.values()
        for name in expected_shapes(replace(deep, mlp_activations=activations))
    }


def _family(document: Mapping[str, Any], file: str) -> str:
    """The model_type; checked first, because other families have other fields."""
    family = document.get("model_type")
    if not isinstance(family, str) or family not in _ARCHITECTURES:
        raise UserError(
            f"{file}: model_type={family!r} is not one of {', '.join(_ARCHITECTURES)} (ByT5 and "
            "Flan-T5 are t5); convert a model of the T5 family"
        )
    return family


def _check_special_tokens(said: _SpecialTokens, file: str) -> None:
    """Raises UserError unless padding is 0, EOS is 1 and the decoder starts with 0, as in T5."""
    for name, expected in _SPECIAL_TOKENS.items():
        value = getattr(said, name)
        if value is not None and value not in (expected, [expected]):
            rule = f"{name}={expected}, as T5 has" if expected is not None else f"no {name}"
            raise UserError(
                f"{file}: {name}={value!r}, but models here have {rule}; use a model of T5's token "
                "ids, or correct the file if this one was trained with them"
            )


def _check_kind(stored: Mapping[str, Tensor], path: str) -> None:
    """Raises UserError if the weights are not of an encoder-decoder that writes text."""
    heads = ("classification_head.", "classifier.", "qa_outputs.")
    extra = [name for name in stored if name.startswith(heads)]
    if extra:
        raise UserError(
            f"{path} holds {extra[0]}, of a classifier or another head that writes no text; use "
            "the model that it was trained from, or one with a language model's head "
            f"({_ARCHITECTURES['t5']})"
        )
    adapters = [name for name in stored if ".lora_" in name or name.startswith("base_model.")]
    if adapters:
        raise UserError(
            f"{path} holds {adapters[0]}, of an adapter that is not merged; merge it into its "
            "model first, with peft: merge_and_unload()"
        )
    stacks = [
        stack
        for stack in ("encoder", "decoder")
        if any(name.startswith(f"{stack}.block.") for name in stored)
    ]
    if len(stacks) < 2:
        alone = f"an {stacks[0]} alone" if stacks == ["encoder"] else "a decoder alone"
        begins = ", ".join(list(stored)[:3]) or "nothing"
        raise UserError(
            f"{path} holds {alone if stacks else 'no T5'}: its {len(stored)} tensors begin with "
            f"{begins}; use a whole model ({_ARCHITECTURES['t5']})"
        )


def _tables(
    said: _Config, family: str, stored: Mapping[str, Tensor], path: str
) -> tuple[dict[str, Tensor], bool]:
    """The tensors with one table of embeddings, shared.weight; whether logits come from it.

    The table has several names and is often saved under only one of them. transformers 5 uses the
    table as lm_head.weight if the file has no such tensor. It decides separately whether to divide
    by sqrt(d_model): by scale_decoder_outputs, else if tie_word_embeddings is not false; never in
    mT5. A tied table without that division equals an output layer of its own that starts as a copy
    of the table.
    """
    file = f"{path}/config.json"
    ties = said.tie_word_embeddings is not False
    scales = family != "mt5" and _or(said.scale_decoder_outputs, ties)
    others = {name: tensor for name, tensor in stored.items() if name not in _TABLES}
    inputs = [name for name in _TABLES[:-1] if name in stored]
    head = stored.get(_LOGITS)
    if not inputs and not head:
        return others, scales  # shapes.check names what is missing
    table = stored[inputs[0] if inputs else _LOGITS]
    for name in inputs[1:]:
        if not _equal(stored[name], table):
            raise UserError(
                f"{path}: {name} is not the same as {inputs[0]} ({stored[name].shape} and "
                f"{table.shape}), but the model has one table for both; take out the one that was "
                "not trained"
            )
    others[_EMBEDDING] = table
    if scales:
        if head and inputs and not _equal(head, table):
            raise UserError(
                f"{path}: {_LOGITS} is not the same as {inputs[0]} ({head.shape} and "
                f"{table.shape}), but {file} says that logits come from the table; transformers 4 "
                f"and 5 compute two things from that. If {_LOGITS} was trained, as in T5 1.1, say "
                '"tie_word_embeddings": false and "scale_decoder_outputs": false there; else take '
                "it out"
            )
        return others, True
    tied_by_5 = ties and not (said.transformers_version or "").startswith("4.")
    if (not head or not inputs) and not (tied_by_5 or said.scale_decoder_outputs is not None):
        absent = _EMBEDDING if head else _LOGITS
        raise UserError(
            f"{path}: {absent} is not there. Either the checkpoint is not whole: fetch it again. "
            "Or transformers has tied the two tables: if it was version 5, say "
            '"tie_word_embeddings": true, "scale_decoder_outputs": false in config.json and no '
            'transformers_version of 4; if it was 4, "tie_word_embeddings": true and "model_type": '
            '"t5"'
        )
    return {**others, _LOGITS: head or table}, False


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    rows, every = one.shape[0], 2**14
    starts = range(0, rows, every)
    parts = ((slice(i, min(i + every, rows)), slice(None)) for i in starts)
    return all(np.array_equal(one.read(part), other.read(part), equal_nan=True) for part in parts)


def _config(said: _Config, family: str, tied: bool, num_tensors: int, file: str) -> T5Config:
    activation = _or(said.feed_forward_proj, "relu" if family == "t5" else "gated-gelu")
    if activation not in _ACTIVATIONS:
        raise UserError(
            f"{file}: feed_forward_proj={activation!r} is not one of {', '.join(_ACTIVATIONS)}; "
            "there is no such model here"
        )
    function = "relu" if activation == "relu" else "gelu_new"
    if said.dense_act_fn not in (None, function):
        raise UserError(
            f"{file}: dense_act_fn={said.dense_act_fn!r} is not {function!r}, the function of "
            f"feed_forward_proj={activation!r}; there is no such model here"
        )
    for name in ("num_layers", "num_decoder_layers"):
        # Checked before a model of so many layers is built to compare it with the tensors.
        if (getattr(said, name) or 0) > num_tensors:
            raise UserError(
                f"{file}: {name}={getattr(said, name)}, but the files hold only {num_tensors} "
                "tensors; fetch the folder again"
            )
    try:
        return T5Config(
            vocab_size=said.vocab_size,
            d_model=said.d_model,
            num_heads=said.num_heads,
            head_dim=said.d_kv,
            d_ff=said.d_ff,
            num_encoder_layers=said.num_layers,
            num_decoder_layers=_or(said.num_decoder_layers, said.num_layers),
            mlp_activations=_ACTIVATIONS[activation],
            logits_via_embedding=tied,
            relative_bias_per_layer=family == "umt5",
            relative_attention_num_buckets=_or(said.relative_attention_num_buckets, 32),
            relative_attention_max_distance=_or(said.relative_attention_max_distance, 128),
            dropout_rate=_or(said.dropout_rate, 0.1),
            layer_norm_epsilon=_or(said.layer_norm_epsilon, 1e-6),
        )
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _vocabulary(folder: epath.Path) -> str | None:
    """The name that data.vocabulary takes; raises UserError if that gives other ids."""
    settings = folder / "tokenizer_config.json"
    said = schema.read(settings, _Tokenizer, REPAIR) if settings.exists() else _Tokenizer()
    if said.tokenizer_class == "ByT5Tokenizer":
        tokenizer_files.check_added_tokens(folder)
        return "bytes"
    for name in ("spiece.model", tokenizer_files.TOKENIZER_JSON):
        if (folder / name).exists():
            tokenizer_files.read(folder / name)
            return str(folder / name)
    tokenizer_files.check_added_tokens(folder)
    return None


def family_of(config: T5Config | DecoderConfig) -> str:
    """The model_type that computes the same as a model; raises UserError where there is none."""
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
    """The content of config.json, for transformers 4 and 5."""
    family = family_of(config)
    assert isinstance(config, T5Config)  # family_of has refused others
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
        file = WEIGHTS
        if len(shards) > 1:
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weight_map |= {stored_name(name): file for name in names}
        shard = {stored_name(name): _theirs(name, tensors[name]).whole() for name in names}
        save_file(shard, folder / file, metadata={"format": "pt"})
        shutil.copymode(
            folder / "config.json", folder / file
        )  # safetensors writes files that only their owner may read
        del shard  # before the next one is read
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_json(folder / WEIGHTS_INDEX, index)


def _theirs(name: str, tensor: Tensor) -> Tensor:
    return tensor.transposed() if _transposed(name) else tensor


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
