"""A vocabulary → the tokenizer that texts are counted, cut and encoded with. EOS is added later."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import seqio


class Plain:
    """The ids of a SeqIO vocabulary, a SentencePiece model or one of bytes."""

    def __init__(self, vocabulary: "seqio.Vocabulary") -> None:
        self._vocabulary = vocabulary
        # The SentencePiece processor; a vocabulary of bytes has none.
        self._model: Any = getattr(vocabulary, "tokenizer", None)

    def encode(self, s: str) -> list[int]:
        return list(self._vocabulary.encode(s))

    def ends(self, s: str) -> list[int]:
        """For each token, in order, how many characters of s there are up to its end."""
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

    def __init__(self, vocabulary: "seqio.Vocabulary") -> None:
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

# By the names that SuperNI.tokenization takes.
TOKENIZERS: dict[str, type[Plain]] = {"seqio": Plain, "released": KeepingLastSpace}
