"""The vocabulary that a run names, loaded when it is first used, and training a small one."""

import difflib
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import gin
import seqio

from tk_instruct.data import tokenizer_files
from tk_instruct.data.records import default_cache_dir
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes, write_atomically

log = logging.getLogger("tk_instruct")

VOCABULARY_VARIABLE = "TK_INSTRUCT_VOCABULARY"
PUBLIC = {
    "t5": "gs://t5-data/vocabs/cc_all.32000.100extra/sentencepiece.model",
    "mt5": "gs://t5-data/vocabs/mc4.250000.100extra/sentencepiece.model",
    "umt5": "gs://t5-data/vocabs/umt5.256000/sentencepiece.model",
}
NUM_SENTINELS = {"umt5": 300}  # else T5's 100


@gin.configurable(module="tk_instruct")
def vocabulary(name: str | None = None) -> seqio.Vocabulary:
    """The vocabulary that the gin macro VOCABULARY (or the command line) names.

    The path of a SentencePiece model or of Hugging Face's tokenizer.json, `t5`, `mt5`, `umt5` or
    `bytes`. The models get their sentinels (T5's 100, umT5's 300, or what tokenizer_config.json
    beside them says) unless they hold them already. Raises UserError where it cannot be loaded,
    where its ids are not T5's, and where tokens are added to it.
    """
    name = name or os.environ.get(VOCABULARY_VARIABLE)
    if not name:
        raise UserError(
            "no vocabulary is set: give --vocabulary, the gin macro VOCABULARY or "
            f"${VOCABULARY_VARIABLE} the path of a SentencePiece model, t5, mt5, umt5 or bytes"
        )
    return _load(str(name))


@lru_cache(maxsize=8)
def _load(name: str) -> seqio.Vocabulary:
    if name == "bytes":
        return seqio.ByteVocabulary()
    path = PUBLIC.get(name, os.path.expanduser(name))
    if not path.startswith("gs://") and not os.path.isfile(path):
        near = difflib.get_close_matches(name, [*PUBLIC, "bytes"], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(
            f"vocabulary={name!r} is neither a file nor one of t5, mt5, umt5, bytes{hint} "
            "(a SentencePiece model is the file sentencepiece.model or spiece.model)"
        )
    model, num_sentinels = tokenizer_files.read(path, NUM_SENTINELS.get(name, 100))
    if os.path.basename(path) == tokenizer_files.TOKENIZER_JSON:
        path = kept(f"tokenizer.json {hashlib.sha256(model).hexdigest()}", lambda: model)
    loaded = seqio.SentencePieceVocabulary(path, num_sentinels)
    try:
        loaded.load_model()
    except Exception as error:  # its sentinels do not suit it
        raise tokenizer_files.cannot_be_loaded(path, error) from error
    return loaded


def model_bytes(vocabulary: seqio.Vocabulary) -> bytes | None:
    """The SentencePiece model, sentinels included; None where the vocabulary needs none."""
    return getattr(plain(vocabulary), "sp_model", None)


def fingerprint(vocabulary: seqio.Vocabulary) -> str:
    """Equal for vocabularies that give every text the same ids."""
    vocabulary = plain(vocabulary)
    content = model_bytes(vocabulary)
    if content is None:
        content = f"{type(vocabulary).__name__} {vocabulary.vocab_size}".encode()
    return hashlib.sha256(content).hexdigest()[:16]


def plain(vocabulary: seqio.Vocabulary) -> seqio.Vocabulary:
    """The loaded vocabulary that a ConfiguredVocabulary stands for now."""
    return vocabulary.loaded if isinstance(vocabulary, ConfiguredVocabulary) else vocabulary


class ConfiguredVocabulary(seqio.Vocabulary):
    """Stands for `vocabulary()` in tasks that are declared before anything is configured."""

    @property
    def loaded(self) -> seqio.Vocabulary:
        return vocabulary()

    @property
    def bos_id(self) -> int | None:
        return self.loaded.bos_id

    @property
    def eos_id(self) -> int | None:
        return self.loaded.eos_id

    @property
    def unk_id(self) -> int | None:
        return self.loaded.unk_id

    @property
    def extra_ids(self) -> int:
        return self.loaded.extra_ids

    @property
    def vocab_size(self) -> int:
        return self.loaded.vocab_size

    @property
    def _base_vocab_size(self) -> int:
        return self.loaded._base_vocab_size

    def _encode(self, s: str) -> Any:
        return self.loaded._encode(s)

    def _decode(self, ids: Any) -> str:
        return self.loaded._decode(ids)

    def _encode_tf(self, s: Any) -> Any:
        return self.loaded._encode_tf(s)

    def _decode_tf(self, ids: Any) -> Any:
        return self.loaded._decode_tf(ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfiguredVocabulary)

    def __hash__(self) -> int:
        return hash(ConfiguredVocabulary)


def kept(key: str, make: Callable[[], bytes]) -> str:
    """The path of the model that `make` gives, from the cache folder where it is there whole.

    key says all that the model depends on. The file's name holds a hash of its content.
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

    Of pairs, not unigram as T5's: on the little text that this is for, whole words come out.
    The same texts give the same model. Raises UserError where num_pieces does not suit them.
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
