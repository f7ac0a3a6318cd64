"""Which instructions are new: ROUGE-L to every instruction so far (arXiv:2212.10560, 2.2).

Each distinct token becomes one character and each text one string, so that rapidfuzz can find the
longest common subsequences of many pairs of texts at once.
"""

import re
import sys
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import gin
import numpy as np
from jaxtyping import Float
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from tk_instruct.errors import UserError

Tokenize = Callable[[str], Sequence[str]]

NUM_MOST_SIMILAR = 10

_UNKNOWN = "\0"  # a token that no text of the pool has
_SURROGATES = range(0xD800, 0xE000)
_MAX_TOKENS = sys.maxunicode - len(_SURROGATES)  # all code points but these and _UNKNOWN

_ROUGE_TOKEN = re.compile("[a-z0-9]+")
# The first words of Unicode's names of characters in scripts without spaces between words.
_UNSPACED_SCRIPTS = (
    "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR",
)  # fmt: skip


@gin.register(module="tk_instruct")
def rouge_tokens(text: str) -> list[str]:
    """The tokens of rouge-score: runs of a-z and 0-9, case folded; none in other scripts."""
    return _ROUGE_TOKEN.findall(text.lower())


@gin.register(module="tk_instruct")
def unicode_tokens(text: str) -> list[str]:
    """Words of any language: runs of letters, marks and digits, case and compatibility folded.

    In scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each
    character is a word.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(map(_spaced, folded)).split()


@cache
def _spaced(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":  # a soft hyphen, a joiner: invisible, it does not end a word
        return ""
    if category[0] not in "LMN":
        return " "
    if unicodedata.name(character, "").startswith(_UNSPACED_SCRIPTS):
        return f" {character} "
    return character


@dataclass(frozen=True)
class Similarity:
    """ROUGE-L F1 (fractions) of one text to the texts of a pool; 0 where the pool is empty.

    most_similar: at most NUM_MOST_SIMILAR texts of the pool with their scores, best first; texts
    with the same score in the pool's order.
    """

    maximum: float
    mean: float
    most_similar: dict[str, float]


class NoveltyPool:
    """The texts from which a new one must differ; `len(pool)` of them, in order.

        for candidate, similarity in zip(candidates, pool.compare(candidates)):
            if similarity.maximum < 0.7:
                pool.add(candidate)

    With rouge_tokens the scores equal RougeScorer(["rougeL"], use_stemmer=False). There a text
    without a-z and 0-9 scores 0 even against itself: take unicode_tokens for other languages.
    """

    def __init__(self, texts: Iterable[str] = (), tokenize: Tokenize = rouge_tokens) -> None:
        self._tokenize = tokenize
        unused = chain(range(1, _SURROGATES.start), range(_SURROGATES.stop, sys.maxunicode + 1))
        self._characters = defaultdict[str, str](map(chr, unused).__next__)
        self._texts: list[str] = []
        self._encoded: list[str] = []
        self._lengths = array("i")
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        """Raises UserError if there are more distinct tokens than Unicode has characters."""
        tokens = self._tokenize(text)
        try:
            encoded = "".join([self._characters[token] for token in tokens])
        except StopIteration:
            raise UserError(
                f"the instructions have more than {_MAX_TOKENS:,} distinct tokens, the most that "
                "can be told apart; take a tokenizer that splits them further"
            ) from None
        self._texts.append(text)
        self._encoded.append(encoded)
        self._lengths.append(len(encoded))

    def similarities(self, candidates: Sequence[str]) -> Float[np.ndarray, "candidates pool"]:
        """ROUGE-L F1 (fractions) of each candidate to each text; does not change the pool.

        A score is 2·LCS / (tokens of both), rounded once, so that 7/10 is not below 0.7.
        """
        return self._similarities([self._encode(text) for text in candidates], 0)

    def compare(self, candidates: Sequence[str]) -> Iterator[Similarity]:
        """Compares each candidate in turn to the pool as it is then, with what was added before."""
        size = len(self)
        for text, scores in zip(candidates, self.similarities(candidates), strict=True):
            added = self._similarities([self._encode(text)], size)[0]
            yield self._similarity(np.concatenate([scores, added]))

    def _encode(self, text: str) -> str:
        return "".join([self._characters.get(token, _UNKNOWN) for token in self._tokenize(text)])

    def _similarities(
        self, encoded: Sequence[str], first: int
    ) -> Float[np.ndarray, "candidates pool_from_first"]:
        common = cdist(
            encoded, self._encoded[first:], scorer=LCSseq.similarity, dtype=np.int32, workers=1
        )
        # At least 1: two empty texts have nothing in common.
        lengths = np.array([max(len(text), 1) for text in encoded], np.int32)
        common *= 2
        return common / (lengths[:, None] + np.array(self._lengths, np.int32)[first:])

    def _similarity(self, scores: Float[np.ndarray, " pool"]) -> Similarity:
        if not len(scores):
            return Similarity(0.0, 0.0, {})
        count = min(NUM_MOST_SIMILAR, len(scores))
        candidates = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
        best = candidates[np.argsort(-scores[candidates], kind="stable")][:count]
        most_similar = {self._texts[k]: float(scores[k]) for k in best}
        return Similarity(float(scores[best[0]]), float(scores.mean()), most_similar)
