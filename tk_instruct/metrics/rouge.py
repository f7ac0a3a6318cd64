"""ROUGE-1 and ROUGE-L of token lists, as fractions in [0, 1]. They equal rouge-score's.

T5's measure for summaries, ROUGE-Lsum without stemming, is `generation.rouge`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from rapidfuzz.distance import LCSseq
from rouge_score import tokenize as rouge_tokenize

Tokenize = Callable[[str], Sequence[str]]


class _Stemmer:
    """NLTK's Porter stemmer with a cache of words. Importing nltk takes a second."""

    def __init__(self) -> None:
        from rouge_score.tokenizers import porter

        self.stem = lru_cache(maxsize=1 << 17)(porter.PorterStemmer().stem)


@cache
def _stemmer() -> _Stemmer:
    return _Stemmer()


def stemmed_tokens(text: str) -> list[str]:
    """The tokens of rouge-score's DefaultTokenizer(use_stemmer=True)."""
    return rouge_tokenize.tokenize(text, _stemmer())


def rouge_f1(prediction: Sequence[str], reference: Sequence[str]) -> tuple[float, float]:
    """F1 of ROUGE-1 and of ROUGE-L of two token lists. They are 0 if a list is empty."""
    if not prediction or not reference:
        return 0.0, 0.0
    shared = (Counter(prediction) & Counter(reference)).total()
    return (
        _f1(shared, len(prediction), len(reference)),
        _f1(_num_in_order(prediction, reference), len(prediction), len(reference)),
    )


def rouge_l_recall(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """Length of the longest common subsequence over the reference's. It is 0 if a list is empty."""
    return _num_in_order(prediction, reference) / len(reference) if reference else 0.0


def _num_in_order(prediction: Sequence[str], reference: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    numbers: dict[str, int] = {}  # rapidfuzz compares strings by hash, so tokens become integers
    return LCSseq.similarity(
        [numbers.setdefault(token, len(numbers)) for token in prediction],
        [numbers.setdefault(token, len(numbers)) for token in reference],
    )


def _f1(hits: int, num_predicted: int, num_expected: int) -> float:
    precision, recall = hits / num_predicted, hits / num_expected
    return 2 * precision * recall / (precision + recall) if hits else 0.0
