"""A vocabulary → the tokenizer that texts are counted, cut and encoded with. EOS is added later."""

from dataclasses import dataclass
from typing import Any, Protocol

from tk_instruct.data.vocabulary import Vocabulary


class Tokenizer(Protocol):
    """What rendering needs of a vocabulary; name as --tokenization says it."""

    name: str

    def encode(self, s: str) -> list[int]: ...

    def ends(self, s: str) -> list[int]:
        """For each token, in order, how many characters of s there are up to its end."""
        ...


class Plain:
    """The ids of a vocabulary as they are."""

    name = "seqio"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        # The SentencePiece processor; a vocabulary of bytes has none.
        self._model: Any = getattr(vocabulary, "tokenizer", None)

    def encode(self, s: str) -> list[int]:
        return list(self._vocabulary.encode(s))

    def ends(self, s: str) -> list[int]:
        if self._model is not None:
            encoded = self._model.encode(s, return_type="offset_mapping")
            return [end for _, end in encoded["offsets"]]
        sizes = (len(character.encode()) for character in s)
        return [i + (k == size) for i, size in enumerate(sizes) for k in range(1, size + 1)]


class KeepingLastSpace(Plain):
    """The same, with a token for white space at the end of a text, which SentencePiece drops.

    Equal to Hugging Face's fast tokenizer of T5 in transformers 4, made from spiece.model, with
    which Tk-Instruct's published checkpoints were trained.
    """

    name = "released"

    def __init__(self, vocabulary: Vocabulary) -> None:
        from sentencepiece import SentencePieceNormalizer

        super().__init__(vocabulary)
        if self._model is not None:
            self._undropped = SentencePieceNormalizer(
                model_proto=self._model.serialized_model_proto(), remove_extra_whitespaces=False
            )

    def encode(self, s: str) -> list[int]:
        ids = super().encode(s)
        return [*ids, self._model.piece_to_id(_SPACE)] if self._has_dropped_space(s) else ids

    def ends(self, s: str) -> list[int]:
        ends = super().ends(s)
        return [*ends, len(s)] if self._has_dropped_space(s) else ends

    def _has_dropped_space(self, s: str) -> bool:
        if self._model is None or not self._undropped.normalize(s).endswith(_SPACE):
            return False
        return not self._model.normalize(s).endswith(_SPACE)


_SPACE = "▁"

# By the names that --tokenization takes.
TOKENIZERS: dict[str, type[Plain]] = {kind.name: kind for kind in (Plain, KeepingLastSpace)}


@dataclass(frozen=True)
class Budget:
    """The most tokens an input may have, EOS included, by a tokenizer's count."""

    tokenizer: Tokenizer
    max_input_tokens: int

    def admits(self, text: str) -> bool:
        return len(self.tokenizer.encode(text)) + 1 <= self.max_input_tokens

    def cut(self, text: str) -> str:
        """The text of the first max_input_tokens tokens, of fewer where it would else have more.

        The EOS is not among them: it takes the place of the last one.
        """
        ends = self.tokenizer.ends(text)[: self.max_input_tokens]
        starts = (text[:end] for end in sorted({0, *ends}, reverse=True))
        return next(s for s in starts if len(self.tokenizer.encode(s)) <= self.max_input_tokens)
