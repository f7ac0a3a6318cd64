"""Reads the files of a tokenizer: its SentencePiece model, its sentinels and its added tokens.

transformers 4 writes spiece.model, transformers 5 only tokenizer.json. Files beside them may name
added tokens. The SentencePiece model does not know these and would split them without an error.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from etils import epath

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import is_local, read_file

TOKENIZER_JSON = "tokenizer.json"

T = TypeVar("T")
_SPECIAL = {"<pad>": 0, "</s>": 1, "<unk>": 2}
_SENTINEL = re.compile(r"▁?<extra_id_(\d+)>")
_MAX_SENTINELS = 10_000  # umT5 has 300


class _Token(msgspec.Struct, frozen=True):
    content: str
    id: int | None = None


class _Settings(msgspec.Struct, frozen=True):
    """The fields that are read of tokenizer_config.json and special_tokens_map.json."""

    extra_ids: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SENTINELS)] | None = None
    added_tokens_decoder: (
        dict[Annotated[str, msgspec.Meta(pattern="^[0-9]+$", max_length=9)], _Token] | None
    ) = None
    pad_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    unk_token: str | _Token | None = None
    additional_special_tokens: list[str | _Token] | None = None
    extra_special_tokens: list[str | _Token] | dict[str, str | _Token] | None = None


class _Stage(msgspec.Struct, frozen=True):
    """A normalizer, a pre-tokenizer, or a sequence of them."""

    type: str
    normalizers: list["_Stage"] = []
    pretokenizers: list["_Stage"] = []
    precompiled_charsmap: bytes = b""


class _Model(msgspec.Struct, frozen=True):
    vocab: list[tuple[str, float]] | dict[str, Any]  # a list if the model is unigram
    type: str = "Unigram"
    unk_id: int | None = None
    byte_fallback: bool | None = None


class _Tokenizer(msgspec.Struct, frozen=True):
    """The fields that are read of tokenizer.json."""

    model: _Model | None = None
    normalizer: _Stage | None = None
    pre_tokenizer: _Stage | None = None
    added_tokens: list[_Token] | None = None


def read(path: epath.PathLike, num_sentinels: int = 100) -> tuple[bytes, int]:
    """A SentencePiece model, and the number of sentinels to add after its last piece.

    Args:
        path: a SentencePiece model or tokenizer.json. The files beside it are read too.
        num_sentinels: the number if neither the model nor the files beside it give one.

    Raises:
        UserError: the tokenizer is not of T5's kind; the ids of padding, EOS and the unknown token
            are not 0, 1 and 2; or the files name added tokens.
    """
    from sentencepiece import SentencePieceProcessor

    path = epath.Path(path)
    model = SentencePieceProcessor()
    try:
        if path.name == TOKENIZER_JSON:
            content = _from_json(path)
        else:  # errors of reading from a bucket are reported below
            content = read_file(path) if is_local(path) else path.read_bytes()
        model.LoadFromSerializedProto(content or b"empty")
        ids = {model.id_to_piece(i): i for i in range(len(model))}
    except UserError:
        raise
    except Exception as error:  # TensorFlow, protobuf and SentencePiece each raise their own
        raise cannot_be_loaded(path, error) from error
    if (model.eos_id(), model.unk_id()) != (1, 2):
        raise UserError(
            f"{path}: EOS is {model.eos_id()} and the unknown token {model.unk_id()}, but models "
            "here have T5's ids, 1 and 2 (and padding 0); use a vocabulary of T5's kind"
        )
    told = _read(path.parent / "tokenizer_config.json", _Settings).extra_ids
    num_sentinels = num_sentinels if told is None else told
    ids |= {piece[1:]: i for piece, i in ids.items() if piece.startswith("▁<extra_id_")}
    if "<extra_id_0>" in ids:
        num_sentinels = 0
    last = len(model) + num_sentinels - 1
    ids |= {f"<extra_id_{i}>": last - i for i in range(num_sentinels)}
    _check_same_pieces(path, ids)
    check_added_tokens(path.parent, {**_SPECIAL, **ids})
    return content, num_sentinels


def cannot_be_loaded(path: epath.PathLike, error: Exception) -> UserError:
    """The error for a file that SentencePiece cannot load."""
    why = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return UserError(
        f"{path} cannot be loaded as a SentencePiece model ({why}); check the file, or fetch it "
        "once and give its local path"
    )


def _check_same_pieces(path: epath.Path, ids: Mapping[str, int]) -> None:
    """Raises UserError if tokenizer.json, which transformers prefers, holds another model."""
    model = _read(path.parent / TOKENIZER_JSON, _Tokenizer).model
    vocab = model.vocab if model and isinstance(model.vocab, list) else []
    for number, (piece, _) in enumerate(vocab):
        if ids.get(piece) != number and not _SENTINEL.fullmatch(piece):
            raise UserError(
                f"{path} is not the model of {TOKENIZER_JSON} beside it: {piece!r} is "
                f"{ids.get(piece, 'absent')} in one and {number} in the other; remove the one that "
                "the model was not trained with"
            )


def check_added_tokens(folder: epath.Path, ids: Mapping[str, int] | None = None) -> None:
    """Raises UserError if a folder's files name a token that these ids (token → id) lack.

    Without ids, T5's special tokens and every sentinel are accepted.
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
    """Every token that a folder's files name: its text, its id if the file gives one, the file."""
    file = "added_tokens.json"
    if (folder / file).exists():
        for content, number in _read(folder / file, dict[str, int]).items():
            yield content, number, file
    for token in _read(folder / TOKENIZER_JSON, _Tokenizer).added_tokens or []:
        yield token.content, token.id, TOKENIZER_JSON
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        said = _read(folder / file, _Settings)
        for written, token in (said.added_tokens_decoder or {}).items():
            yield token.content, int(written), file
        for number, named in enumerate((said.pad_token, said.eos_token, said.unk_token)):
            if named:
                yield _content(named), number, file
        extra = said.extra_special_tokens or []
        extra = list(extra.values()) if isinstance(extra, dict) else extra
        for named in (said.additional_special_tokens or []) + extra:
            yield _content(named), None, file


def _content(token: str | _Token) -> str:
    return token if isinstance(token, str) else token.content


def _read(path: epath.Path, kind: type[T]) -> T:
    """The content of a tokenizer's file. If there is no file, all fields have their defaults."""
    content = read_file(path) if path.exists() else b"{}"
    return schema.parse(content, kind, str(path), "fetch or save it again")


def _from_json(path: epath.Path) -> bytes:
    """The SentencePiece model that tokenizer.json was converted from.

    Raises UserError if it is not a tokenizer of T5's kind.
    """
    from sentencepiece import sentencepiece_model_pb2

    said = _read(path, _Tokenizer)
    model = said.model
    vocab = model.vocab if model and isinstance(model.vocab, list) else []
    normalizers = {stage.type: stage for stage in _stages(said.normalizer)}
    steps = {stage.type for stage in _stages(said.pre_tokenizer)}
    if not (
        model
        and (model.type, model.unk_id) == ("Unigram", 2)
        and [piece for piece, _ in vocab[:3]] == list(_SPECIAL)
        and normalizers.keys() <= {"Precompiled", "Replace", "Strip"}
        and {"Metaspace"} <= steps <= {"WhitespaceSplit", "Metaspace"}
    ):
        raise UserError(
            f"{path} is no tokenizer of T5's kind (a unigram model with <pad>, </s>, <unk> at 0, 1 "
            "and 2); give the SentencePiece model that the model was trained with as --vocabulary"
        )
    precompiled = normalizers.get("Precompiled")
    charsmap = precompiled.precompiled_charsmap if precompiled else b""
    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    kinds = proto.SentencePiece
    special = dict(zip(_SPECIAL, (kinds.CONTROL, kinds.CONTROL, kinds.UNKNOWN), strict=True))
    byte_fallback = bool(model.byte_fallback)
    for piece, score in vocab:
        kind = special.get(piece, kinds.NORMAL)
        if _SENTINEL.fullmatch(piece):
            kind, piece = kinds.USER_DEFINED, f"▁{piece.lstrip('▁')}"  # SeqIO's form of sentinels
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


def _stages(stage: _Stage | None) -> Iterator[_Stage]:
    """The stages in nested sequences, without the sequences."""
    waiting = [stage] if stage else []
    while waiting:
        stage = waiting.pop()
        waiting += stage.normalizers + stage.pretokenizers
        if stage.type != "Sequence":
            yield stage
