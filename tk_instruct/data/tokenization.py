"""Tokenizers, which encode, count and cut texts with a vocabulary. EOS is added later."""

from dataclasses import dataclass
from typing import Any, Protocol

from tk_instruct.data.vocabulary import Vocabulary


class Tokenizer(Protocol):
    """What rendering needs of a tokenizer. name is the value of --tokenization."""

    name: str

    def encode(self, s: str) -> list[int]: ...

    def ends(self, s: str) -> list[int]:
        """For each token, in order, the position in s (in characters) where it ends."""
        ...


class Plain:
    """The ids of a vocabulary, unchanged."""

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
    """Keeps a token for white space at the end of a text. SentencePiece drops it.

    Equal to Hugging Face's fast T5 tokenizer in transformers 4, made from spiece.model.
    Tk-Instruct's published checkpoints were trained with that tokenizer.
    """

    name = "released"

    def __init__(self, vocabulary: Vocabulary) -> None:
        from sentencepiece import SentencePieceNormalizer

        super().__init__(vocabulary)
        if self._model is not None:
            self._space_keeping = SentencePieceNormalizer(
                model_proto=self._model.serialized_model_proto(), remove_extra_whitespaces=False
            )

    def encode(self, s: str) -> list[int]:
        ids = super().encode(s)
        return [*ids, self._model.piece_to_id(_SPACE)] if self._has_dropped_space(s) else ids

    def ends(self, s: str) -> list[int]:
        ends = super().ends(s)
        return [*ends, len(s)] if self._has_dropped_space(s) else ends

    def _has_dropped_space(self, s: str) -> bool:
        if self._model is None or not self._space_keeping.normalize(s).endswith(_SPACE):
            return False
        return not self._model.normalize(s).endswith(_SPACE)


_SPACE = "▁"

# Value of --tokenization → its tokenizer.
TOKENIZERS: dict[str, type[Plain]] = {kind.name: kind for kind in (Plain, KeepingLastSpace)}


@dataclass(frozen=True)
class Budget:
    """The maximum number of tokens of an input, EOS included, as a tokenizer counts them."""

    tokenizer: Tokenizer
    max_input_tokens: int

    def admits(self, text: str) -> bool:
        """Whether the text and EOS have at most max_input_tokens tokens."""
        return len(self.tokenizer.encode(text)) + 1 <= self.max_input_tokens

    def cut(self, text: str) -> str:
        """The text of the first max_input_tokens tokens, without EOS.

        Takes fewer tokens if the cut text, encoded again, would have more. EOS later replaces the
        last token.
        """
        ends = self.tokenizer.ends(text)[: self.max_input_tokens]
        starts = (text[:end] for end in sorted({0, *ends}, reverse=True))
        return next(s for s in starts if len(self.tokenizer.encode(s)) <= self.max_input_tokens)

    def start(self, text: str, rest: str) -> str:
        """The start of a text that is admitted with `rest` after it, which alone must be.

        It has the tokens that there is room for, or fewer if the joined text would have too many.
        """
        room = self.max_input_tokens - 1 - len(self.tokenizer.encode(rest))
        ends = self.tokenizer.ends(text)[:room]
        starts = (text[:end] for end in sorted({0, *ends}, reverse=True))
        return next(s for s in starts if self.admits(s + rest))
