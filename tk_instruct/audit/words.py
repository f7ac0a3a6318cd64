"""Texts as words, and words as numbers.

Texts are compared by their words: letters, digits and marks, in lower case and in Unicode's form
NFKC. Punctuation, the underscore and white space only end words. Each Chinese or Japanese character
is a word; other writing without spaces, such as Thai, has long words.
"""

import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

_BY_CHARACTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ASCII = re.compile("[a-z0-9]+")


def _marks() -> str:
    """All combining marks, as they stand in a class of a regular expression; `\\w` lacks them."""
    characters = map(chr, range(0x300, 0xE0200))
    return "".join(c for c in characters if unicodedata.category(c).startswith("M"))


_LETTER, _MARK = rf"[^\W_{_BY_CHARACTER}]", f"[{_marks()}]"
_WORD = re.compile(f"{_LETTER}+(?:{_MARK}+{_LETTER}*)*|[{_BY_CHARACTER}]{_MARK}*")


def words(text: str) -> list[str]:
    """The words of a text, normalised."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    return [_normalised(word) for word in _WORD.findall(text)]


def word_places(text: str) -> list[tuple[int, int]]:
    """(start, end) of each of `words(text)`, in characters of the text."""
    return [match.span() for match in _WORD.finditer(text)]


def _normalised(word: str) -> str:
    return (word if word.isascii() else unicodedata.normalize("NFKC", word)).lower()


class Numbered(NamedTuple):
    """Texts as numbers of words, one text after the other.

    Attributes:
        ids: the number of each word [words].
        offsets: where each text begins in `ids`, and where the last one ends [texts + 1].
    """

    ids: Int64[np.ndarray, "words"]
    offsets: Int64[np.ndarray, "texts+1"]

    @property
    def lengths(self) -> Int64[np.ndarray, "texts"]:
        """Words of each text."""
        return np.diff(self.offsets)


class Vocabulary:
    """The words of the evaluation texts, each with a number of its own.

    Other words get a number of 32 bits above those. It does not tell all of them apart, but tells
    them from the words of the evaluation texts.
    """

    def __init__(self) -> None:
        self._growing: defaultdict[str, int] = defaultdict()
        self._growing.default_factory = self._growing.__len__
        self._known: dict[str, int] | None = None

    def add(self, texts: Iterable[str]) -> Numbered:
        """Numbers evaluation texts. Call it before `number`."""
        return _numbered(texts, self._growing)

    def number(self, texts: Iterable[str]) -> Numbered:
        """Numbers training texts."""
        if self._known is None:
            self._known = _Known(self._growing)
        return _numbered(texts, self._known)


class _Known(dict[str, int]):
    def __missing__(self, word: str) -> int:
        return (1 << 32) + zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _numbered(texts: Iterable[str], numbers: dict[str, int]) -> Numbered:
    found: list[int] = []
    ends = [0]
    for text in texts:
        found.extend(map(numbers.__getitem__, words(text)))
        ends.append(len(found))
    return Numbered(np.array(found, np.int64), np.array(ends, np.int64))


# A random odd number: it has an inverse modulo 2**64.
_BASE = np.uint64(0x9E6C63D0876A9A47)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
_powers_of: dict[int, np.ndarray] = {}


def _powers(base: np.uint64, count: int) -> np.ndarray:
    """base**0, base**1, … modulo 2**64; at least `count` of them."""
    kept = _powers_of.get(int(base))
    if kept is None or len(kept) < count:
        kept = np.full(1 << max(count - 1, 1).bit_length(), base, np.uint64)
        kept[0] = 1
        kept = _powers_of[int(base)] = np.multiply.accumulate(kept)
    return kept


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers → random ones of 64 bits, each for one (splitmix64, Steele et al. 2014)."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Hasher:
    """Hashes of runs of words, by a polynomial modulo 2**64: all runs of a length in one pass."""

    def __init__(self, texts: Numbered) -> None:
        self._texts = texts
        terms = mixed(texts.ids) * _powers(_BASE, len(texts.ids))[: len(texts.ids)]
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])

    def runs(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The hash of each run of words from start to end, in words of all texts."""
        sums = self._sums[end] - self._sums[start]
        return mixed(sums * _powers(_INVERSE, len(self._sums))[start])

    def whole(self) -> np.ndarray:
        """The hash of each text [texts]."""
        return self.runs(self._texts.offsets[:-1], self._texts.offsets[1:])

    def ngrams(self, n: int, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(hash, first word) of each n-gram of the texts that `of` says [texts].

        The first word is counted in all texts.
        """
        starts = ngram_starts(self._texts, n, of)
        return self.runs(starts, starts + n), starts


def ngram_starts(texts: Numbered, n: int, of: np.ndarray) -> np.ndarray:
    """The first word of each n-gram of some texts, counted in all texts."""
    counts = np.where(of, np.maximum(texts.lengths - n + 1, 0), 0)
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(texts.offsets[:-1] - before, counts)


def text_of(texts: Numbered, starts: np.ndarray) -> np.ndarray:
    """The text that each word is in."""
    return np.searchsorted(texts.offsets, starts, side="right") - 1


def ngrams(of: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """The n-grams of words; none if there are fewer than n words."""
    return list(zip(*(of[k:] for k in range(n)), strict=False))
