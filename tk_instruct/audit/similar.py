"""Finds the evaluation texts that are near duplicates of a training text."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from datasketch import MinHash, MinHashLSH

from tk_instruct.audit.compared import SHINGLE
from tk_instruct.audit.lookup import Lookup
from tk_instruct.audit.words import Hasher, Numbered, text_of

_NUM_PERMUTATIONS = 64
# Of pairs that are just as similar as is asked for, so many are found at least.
_LEAST_RECALL = 0.999


class _Sets(NamedTuple):
    """The shingles of some texts, each once.

    Attributes:
        texts: the texts that have any, in order.
        hashes: their shingles, one text after the other.
        offsets: where those of each of them begin, and where the last ones end.
    """

    texts: np.ndarray
    hashes: np.ndarray
    offsets: np.ndarray

    def of(self, number: int) -> list[int]:
        return self.hashes[self.offsets[number] : self.offsets[number + 1]].tolist()


def _sets(texts: Numbered, hasher: Hasher, of: np.ndarray) -> _Sets:
    hashes, starts = hasher.ngrams(SHINGLE, of)
    in_text = text_of(texts, starts)
    order = np.lexsort((hashes, in_text))
    hashes, in_text = hashes[order], in_text[order]
    is_first = np.ones(len(hashes), bool)
    is_first[1:] = (hashes[1:] != hashes[:-1]) | (in_text[1:] != in_text[:-1])
    hashes, in_text = hashes[is_first], in_text[is_first]
    found, begins = np.unique(in_text, return_index=True)
    return _Sets(found, hashes, np.append(begins, len(hashes)))


def bands(least: float) -> tuple[int, int]:
    """(bands, rows of each) of LSH that finds nearly all pairs of this similarity.

    A pair of Jaccard similarity s is a candidate with probability 1 - (1 - s^rows)^bands
    (Leskovec et al., Mining of Massive Datasets, section 3.4).
    """
    for rows in range(_NUM_PERMUTATIONS // 2, 1, -1):
        number = _NUM_PERMUTATIONS // rows
        if 1 - (1 - least**rows) ** number >= _LEAST_RECALL:
            return number, rows
    return _NUM_PERMUTATIONS, 1


class NearDuplicates:
    """Evaluation texts by MinHash and LSH (datasketch). Candidates are compared shingle by shingle.

    Args:
        of: which of the texts may be found [texts].
        least: the least Jaccard similarity.
    """

    def __init__(self, texts: Numbered, hasher: Hasher, of: np.ndarray, least: float) -> None:
        self._least = least
        self._sets = _sets(texts, hasher, of)
        self._as_set: dict[int, frozenset[int]] = {}
        self._known = Lookup(self._sets.hashes, np.zeros(len(self._sets.hashes), np.int64))
        self._index = MinHashLSH(num_perm=_NUM_PERMUTATIONS, params=bands(least))
        numbers = range(len(self._sets.texts))
        for number, minhash in zip(numbers, _minhashes(self._sets, numbers), strict=True):
            self._index.insert(number, minhash, check_duplication=False)

    def find(self, texts: Numbered, hasher: Hasher) -> Iterator[tuple[int, int, float]]:
        """(training text, evaluation text, Jaccard similarity) of the near duplicates."""
        if not len(self._sets.texts):
            return
        sets = _sets(texts, hasher, np.ones(len(texts.lengths), bool))
        if not len(sets.texts):
            return
        # As similar a text has at least this share of its shingles in evaluation texts.
        known = np.add.reduceat(self._known.may_have(sets.hashes), sets.offsets[:-1], dtype=int)
        numbers = np.flatnonzero(known / np.diff(sets.offsets) >= self._least).tolist()
        for number, minhash in zip(numbers, _minhashes(sets, numbers), strict=True):
            candidates = self._index.query(minhash)
            one = frozenset(sets.of(number)) if candidates else frozenset()
            for candidate in sorted(candidates):
                other = self._set_of(candidate)
                both = len(one & other)
                jaccard = both / (len(one) + len(other) - both)
                if jaccard >= self._least:
                    yield int(sets.texts[number]), int(self._sets.texts[candidate]), jaccard

    def _set_of(self, number: int) -> frozenset[int]:
        if number not in self._as_set:
            self._as_set[number] = frozenset(self._sets.of(number))
        return self._as_set[number]


def _minhashes(sets: _Sets, numbers: Sequence[int]) -> Iterator[MinHash]:
    high = sets.hashes >> np.uint64(32)
    shingles = (high[slice(*sets.offsets[number : number + 2])].tolist() for number in numbers)
    return MinHash.generator(shingles, num_perm=_NUM_PERMUTATIONS, hashfunc=int)
