"""What the files of a tokenizer say: its SentencePiece model, its sentinels and added tokens.

A folder that transformers writes holds spiece.model (version 4) or tokenizer.json alone (version
5), and may hold tokens beside these, which a SentencePiece model would cut into others in silence.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from tk_instruct.errors import UserError

TOKENIZER_JSON = "tokenizer.json"

_SPECIAL = {"<pad>": 0, "</s>": 1, "<unk>": 2}
_SENTINEL = re.compile(r"▁?<extra_id_(\d+)>")


def read(path: epath.PathLike, num_sentinels: int = 100) -> tuple[bytes, int]:
    """A SentencePiece model, and the number of sentinels that are to be added at its end.

    Args:
        path: a SentencePiece model or tokenizer.json. The files beside it are read too.
        num_sentinels: how many are added where neither the model nor the files beside it tell.

    Raises:
        UserError: it is no tokenizer of T5's kind, padding, EOS and the unknown token are not 0, 1
            and 2, or there are added tokens.
    """
    from sentencepiece import SentencePieceProcessor

    path = epath.Path(path)
    model = SentencePieceProcessor()
    try:
        content = _from_json(path) if path.name == TOKENIZER_JSON else path.read_bytes()
        model.LoadFromSerializedProto(content or b"empty")
    except UserError:
        raise
    except Exception as error:  # TensorFlow, protobuf and SentencePiece each raise their own
        why = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{path} cannot be loaded as a SentencePiece model ({why}); check the file, or fetch "
            "it once and give its local path"
        ) from error
    if (model.eos_id(), model.unk_id()) != (1, 2):
        raise UserError(
            f"{path}: EOS is {model.eos_id()} and the unknown token {model.unk_id()}, but models "
            "here have T5's ids, 1 and 2 (and padding 0); use a vocabulary of T5's kind"
        )
    told = _object(path.parent / "tokenizer_config.json").get("extra_ids")
    num_sentinels = told if isinstance(told, int) and told >= 0 else num_sentinels
    ids = {model.id_to_piece(i): i for i in range(len(model))}
    ids |= {piece[1:]: i for piece, i in ids.items() if piece.startswith("▁<extra_id_")}
    if "<extra_id_0>" in ids:
        num_sentinels = 0
    last = len(model) + num_sentinels - 1
    ids |= {f"<extra_id_{i}>": last - i for i in range(num_sentinels)}
    _check_same_pieces(path, ids)
    check_added_tokens(path.parent, {**_SPECIAL, **ids})
    return content, num_sentinels


def _check_same_pieces(path: epath.Path, ids: Mapping[str, int]) -> None:
    """Raises UserError where tokenizer.json, which transformers prefers, is of another model."""
    model = _object(path.parent / TOKENIZER_JSON).get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    for number, entry in enumerate(vocab if isinstance(vocab, list) else []):
        piece = str(entry[0]) if isinstance(entry, list) and entry else ""
        if ids.get(piece) != number and not _SENTINEL.fullmatch(piece):
            raise UserError(
                f"{path} is not the model of {TOKENIZER_JSON} beside it: {piece!r} is "
                f"{ids.get(piece, 'absent')} in one and {number} in the other; remove the one that "
                "the model was not trained with"
            )


def check_added_tokens(folder: epath.Path, ids: Mapping[str, int] | None = None) -> None:
    """Raises UserError where a folder's files name tokens that are not among these ids.

    Without ids every sentinel is taken for one of the tokenizer's own.
    """
    unknown = {}
    for token, number, file in _added(folder):
        if ids is None:
            known: Any = _SPECIAL.get(token, number if _SENTINEL.fullmatch(token) else None)
        else:
            known = ids.get(token)
        if known is None or number not in (None, known):
            unknown[token] = (number, file)
    if not unknown:
        return
    shown = [
        f"{token!r}" + (f" ({number})" if number is not None else "")
        for token, (number, _) in list(unknown.items())[:8]
    ]
    more = f" and {len(unknown) - len(shown)} more" if len(unknown) > len(shown) else ""
    files = ", ".join(sorted({file for _, file in unknown.values()}))
    raise UserError(
        f"{folder}: {files} adds {', '.join(shown)}{more} to the tokenizer, tokens that its "
        "SentencePiece model has not: texts would get other ids than the model was trained with. "
        "Use a model without added tokens; or, if this one was not trained with them, take them "
        f"out of {files}"
    )


def _added(folder: epath.Path) -> Iterator[tuple[str, int | None, str]]:
    """Each token that the files beside a model name, its id where it is told, and the file."""
    for token, number in _object(folder / "added_tokens.json").items():
        yield token, number, "added_tokens.json"
    tokens = _object(folder / TOKENIZER_JSON).get("added_tokens")
    for token in tokens if isinstance(tokens, list) else []:
        if isinstance(token, dict):
            yield str(token.get("content")), token.get("id"), TOKENIZER_JSON
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        said = _object(folder / file)
        decoder = said.get("added_tokens_decoder")
        for number, token in (decoder if isinstance(decoder, dict) else {}).items():
            yield _content(token), int(number) if number.isdecimal() else None, file
        for name, number in (("pad_token", 0), ("eos_token", 1), ("unk_token", 2)):
            if said.get(name):
                yield _content(said[name]), number, file
        for name in ("additional_special_tokens", "extra_special_tokens"):
            listed = said.get(name)
            listed = list(listed.values()) if isinstance(listed, dict) else listed
            for token in listed if isinstance(listed, list) else []:
                yield _content(token), None, file


def _content(token: Any) -> str:
    return str(token.get("content") if isinstance(token, dict) else token)


def _object(path: epath.Path) -> dict[str, Any]:
    """A file's JSON object; an empty one where there is no file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); fetch or save it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no JSON object; fetch or save it again")
    return content


def _from_json(path: epath.Path) -> bytes:
    """The SentencePiece model that tokenizer.json was made of."""
    from sentencepiece import sentencepiece_model_pb2

    try:
        said = _object(path)
        model = said["model"]
        vocab = [(str(piece), float(score)) for piece, score in model["vocab"]]
        of_t5 = model.get("type", "Unigram") == "Unigram" and model["unk_id"] == 2
        of_t5 &= [piece for piece, _ in vocab[:3]] == list(_SPECIAL)
        parts = {str(part["type"]): part for part in _parts(said.get("normalizer"))}
        steps = {str(part["type"]) for part in _parts(said.get("pre_tokenizer"))}
        of_t5 &= set(parts) <= {"Precompiled", "Replace", "Strip"}
        of_t5 &= "Metaspace" in steps and steps <= {"WhitespaceSplit", "Metaspace"}
        characters = parts.get("Precompiled", {}).get("precompiled_charsmap", "")
        charsmap = base64.b64decode(characters, validate=True)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        of_t5 = False
    if not of_t5:
        raise UserError(
            f"{path} is no tokenizer of T5's kind (a unigram model with <pad>, </s>, <unk> at 0, 1 "
            "and 2); give the SentencePiece model that the model was trained with as --vocabulary"
        )
    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    kinds = proto.SentencePiece
    special = dict(zip(_SPECIAL, (kinds.CONTROL, kinds.CONTROL, kinds.UNKNOWN), strict=True))
    byte_fallback = bool(model.get("byte_fallback"))
    for piece, score in vocab:
        kind = special.get(piece, kinds.NORMAL)
        if _SENTINEL.fullmatch(piece):
            kind, piece = kinds.USER_DEFINED, f"▁{piece.lstrip('▁')}"  # as SeqIO adds them
        elif byte_fallback and re.fullmatch("<0x[0-9A-F]{2}>", piece):
            kind = kinds.BYTE
        proto.pieces.add(piece=piece, score=score, type=kind)
    trainer = proto.trainer_spec
    trainer.model_type = trainer.UNIGRAM
    trainer.vocab_size = len(vocab)
    trainer.byte_fallback = byte_fallback
    trainer.pad_id, trainer.eos_id, trainer.unk_id, trainer.bos_id = 0, 1, 2, -1
    proto.normalizer_spec.name = "precompiled" if charsmap else "identity"
    proto.normalizer_spec.precompiled_charsmap = charsmap
    return proto.SerializeToString()


def _parts(stage: Any) -> Iterator[Any]:
    """A normaliser or pre-tokeniser, or those of a sequence of them."""
    if stage is None:
        return
    nested = stage.get("normalizers") or stage.get("pretokenizers")
    if stage.get("type") != "Sequence":
        yield stage
    for part in nested or []:
        yield from _parts(part)
