"""Loads a checkpoint's vocabulary; writes it to our run directories and Hugging Face folders."""

import json
import re
from pathlib import Path
from typing import Any

from tk_instruct.convert.ours import VOCABULARY_FILE
from tk_instruct.convert.tensors import Checkpoint
from tk_instruct.errors import UserError


def load(checkpoint: Checkpoint, given: str | None) -> Any:
    """The vocabulary that is given, else the checkpoint's own.

    Raises:
        UserError: there is none, it cannot be loaded, or it is too large for the model.
    """
    from tk_instruct.data.vocabulary import vocabulary

    name = given or checkpoint.vocabulary
    if not name:
        raise UserError(
            f"{checkpoint.path} holds no vocabulary; give --vocabulary t5, mt5, bytes or the path "
            "of its SentencePiece model (spiece.model) or tokenizer.json"
        )
    loaded = vocabulary(name)
    if loaded.vocab_size > checkpoint.config.vocab_size:
        raise UserError(
            f"vocabulary={name!r} has {loaded.vocab_size} ids but {checkpoint.path} only "
            f"{checkpoint.config.vocab_size} rows for them; give the one that it was trained with"
        )
    return loaded


def write_ours(folder: Path, loaded: Any) -> dict[str, Any]:
    """Writes MODEL_DIR/sentencepiece.model, if there is one; returns Description.vocabulary."""
    from tk_instruct.data.vocabulary import fingerprint, model_bytes

    content = model_bytes(loaded)
    if content is not None:
        (folder / VOCABULARY_FILE).write_bytes(content)
    return {
        "name": getattr(loaded, "sentencepiece_model_file", "bytes"),
        "fingerprint": fingerprint(loaded),
        "size": loaded.vocab_size,
    }


def write_huggingface(folder: Path, loaded: Any) -> None:
    """Writes tokenizer_config.json and, for a SentencePiece vocabulary, spiece.model."""
    from tk_instruct.data.vocabulary import model_bytes

    content = model_bytes(loaded)
    settings: dict[str, Any] = {"tokenizer_class": "ByT5Tokenizer"}
    if content is not None:
        pieces, num_sentinels = without_sentinels(content)
        (folder / "spiece.model").write_bytes(pieces)
        settings = {
            "tokenizer_class": "T5Tokenizer",
            "extra_ids": num_sentinels,
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def without_sentinels(model: bytes) -> tuple[bytes, int]:
    """A SentencePiece model without the sentinels at its end; their number.

    transformers adds them itself, with the same ids, as <extra_id_0> and so on.
    """
    from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(model)
    kept = len(proto.pieces)
    while kept and re.fullmatch(r"▁?<extra_id_\d+>", proto.pieces[kept - 1].piece):
        kept -= 1
    num_sentinels = len(proto.pieces) - kept
    del proto.pieces[kept:]
    return proto.SerializeToString(), num_sentinels
