"""Loads the vocabulary of a run, and trains small vocabularies."""

import difflib
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import gin

from tk_instruct.cache_folder import default_cache_dir
from tk_instruct.data import tokenizer_files
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes, write_atomically

log = logging.getLogger("tk_instruct")

VOCABULARY_VARIABLE = "TK_INSTRUCT_VOCABULARY"
PUBLIC = {
    "t5": "gs://t5-data/vocabs/cc_all.32000.100extra/sentencepiece.model",
    "mt5": "gs://t5-data/vocabs/mc4.250000.100extra/sentencepiece.model",
    "umt5": "gs://t5-data/vocabs/umt5.256000/sentencepiece.model",
}
NAMES = (*PUBLIC, "bytes")
NUM_SENTINELS = {"umt5": 300}  # all others have 100, as T5


class Vocabulary(Protocol):
    """Encodes and decodes text as SeqIO's vocabularies do. Padding is 0. EOS is added elsewhere."""

    @property
    def eos_id(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    def encode(self, s: str) -> Sequence[int]: ...
    def decode(self, ids: Sequence[int]) -> str:
        """The text up to the first EOS."""
        ...


class SentencePieceVocabulary:
    """A SentencePiece model with the sentinels <extra_id_N> after its pieces.

    Equal to seqio.SentencePieceVocabulary(path, num_sentinels), but without TensorFlow.
    """

    def __init__(self, path: str, model: bytes, num_sentinels: int) -> None:
        from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

        proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
        proto.ParseFromString(model)
        for number in reversed(range(num_sentinels)):
            kind = proto.SentencePiece.USER_DEFINED
            proto.pieces.add(piece=f"▁<extra_id_{number}>", score=0.0, type=kind)

        self.sentencepiece_model_file = path
        self.extra_ids = num_sentinels
        self.sp_model = proto.SerializeToString()
        self.tokenizer = SentencePieceProcessor()
        self.tokenizer.LoadFromSerializedProto(self.sp_model)

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_id()

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.GetPieceSize()

    def encode(self, s: str) -> Sequence[int]:
        return self.tokenizer.EncodeAsIds(s)

    def decode(self, ids: Sequence[int]) -> str:
        known = [int(i) if i < self.vocab_size else self.tokenizer.unk_id() for i in ids]
        return self.tokenizer.DecodeIds(_through_eos(known, self.eos_id))


class ByteVocabulary:
    """UTF-8 bytes: an id is byte + 3 (ByT5, arXiv:2105.13626). Equal to seqio.ByteVocabulary."""

    eos_id = 1
    vocab_size = 259
    extra_ids = 0

    def encode(self, s: str) -> Sequence[int]:
        return [byte + 3 for byte in s.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        known = _through_eos([int(i) for i in ids], self.eos_id)
        return bytes(i - 3 for i in known if 3 <= i < 259).decode(errors="ignore")


def _through_eos(ids: list[int], eos_id: int) -> list[int]:
    return ids[: ids.index(eos_id) + 1] if eos_id in ids else ids


@gin.configurable(module="tk_instruct")
def vocabulary(name: str | None = None) -> Vocabulary:
    """The vocabulary that the gin macro VOCABULARY or --vocabulary names.

    A name is the path of a SentencePiece model or of Hugging Face's tokenizer.json, or `t5`, `mt5`,
    `umt5` or `bytes`. A model without sentinels gets as many as tokenizer_config.json beside it
    says, else 300 for umT5 and 100 for all others. Raises UserError if the vocabulary cannot be
    loaded, if its ids are not T5's, or if it has added tokens.
    """
    name = name or os.environ.get(VOCABULARY_VARIABLE)
    if not name:
        raise UserError(
            "no vocabulary is set: give --vocabulary, the gin macro VOCABULARY or "
            f"${VOCABULARY_VARIABLE} the path of a SentencePiece model, t5, mt5, umt5 or bytes"
        )
    return _load(str(name))


@lru_cache(maxsize=8)
def _load(name: str) -> Vocabulary:
    if name == "bytes":
        return ByteVocabulary()
    path = PUBLIC.get(name, os.path.expanduser(name))
    if not path.startswith("gs://") and not os.path.isfile(path):
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(
            f"vocabulary={name!r} is neither a file nor one of t5, mt5, umt5, bytes{hint} "
            "(a SentencePiece model is the file sentencepiece.model or spiece.model)"
        )
    model, num_sentinels = tokenizer_files.read(path, NUM_SENTINELS.get(name, 100))
    if os.path.basename(path) == tokenizer_files.TOKENIZER_JSON:
        path = kept(f"tokenizer.json {hashlib.sha256(model).hexdigest()}", lambda: model)
    try:
        return SentencePieceVocabulary(path, model, num_sentinels)
    except Exception as error:  # the sentinels cannot be added
        raise tokenizer_files.cannot_be_loaded(path, error) from error


def model_bytes(vocabulary: Vocabulary) -> bytes | None:
    """The SentencePiece model, sentinels included, or None if the vocabulary has none."""
    return getattr(vocabulary, "sp_model", None)


def fingerprint(vocabulary: Vocabulary) -> str:
    """A hash that is equal for vocabularies that give every text the same ids."""
    content = model_bytes(vocabulary)
    if content is None:
        content = f"{type(vocabulary).__name__} {vocabulary.vocab_size}".encode()
    return hashlib.sha256(content).hexdigest()[:16]


def kept(key: str, make: Callable[[], bytes]) -> str:
    """The path, in the cache folder, of the model that `make` gives.

    Calls make only if there is no undamaged file. key is a text of all that the model depends on.
    The file's name holds a hash of its content.
    """
    folder = default_cache_dir() / "vocabularies"
    begin = hashlib.sha256(key.encode()).hexdigest()[:32]

    def path_of(content: bytes) -> Path:
        return folder / f"{begin}-{hashlib.sha256(content).hexdigest()[:32]}.model"

    for path in folder.glob(f"{begin}-*.model"):
        if path == path_of(read_bytes(path)):
            return os.fspath(path)
        log.warning("%s is damaged: the vocabulary is made again", path)
    content = make()
    write_atomically(path_of(content), content)
    return os.fspath(path_of(content))


def train_sentencepiece(texts: Iterable[str], num_pieces: int) -> bytes:
    """A SentencePiece model with T5's ids: padding 0, EOS 1, unknown 2, no BOS.

    The model is BPE. T5's is unigram, but on a small text BPE gives whole words. The same texts
    give the same model. Raises UserError if SentencePiece refuses num_pieces for these texts.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=num_pieces,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(
            f"num_pieces={num_pieces} does not suit these texts ({error}); try another size"
        ) from error
    return model.getvalue()
