"""Two texts compared word by word: the definition of what is searched for by hashes."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tk_instruct.audit.words import ngrams

Ngram = tuple[str, ...]

# A shorter text is never flagged. Between this and the words of a short n-gram only a text that is
# equal is.
LEAST_WORDS = 4
# Words of the shingles whose sets near duplicates share.
SHINGLE = 3


class Common(NamedTuple):
    """What two texts have in common.

    Attributes:
        value: for near duplicates the Jaccard similarity, else the share of the words.
        evaluation: whether each word of the evaluation text is part of it.
        training: the same for the training text.
    """

    value: float
    evaluation: Sequence[bool]
    training: Sequence[bool]

    @property
    def share(self) -> float:
        """The share of the evaluation text's words."""
        return sum(self.evaluation) / len(self.evaluation)


def equal(evaluation: Sequence[str], training: Sequence[str]) -> Common | None:
    """Texts of the same words."""
    if evaluation != training:
        return None
    every = [True] * len(evaluation)
    return Common(1.0, every, every)


def near_duplicate(
    evaluation: Sequence[str], training: Sequence[str], least: float
) -> Common | None:
    """Texts whose sets of shingles have at least this Jaccard similarity."""
    one, other = set(ngrams(evaluation, SHINGLE)), set(ngrams(training, SHINGLE))
    both = one & other
    jaccard = len(both) / max(len(one | other), 1)
    if jaccard < least or not both:
        return None
    covered = (_covered(words, SHINGLE, both) for words in (evaluation, training))
    return Common(jaccard, *covered)


def common_ngrams(
    evaluation: Sequence[str], training: Sequence[str], n: int, left_out: Collection[Ngram] = ()
) -> Common | None:
    """Texts that have an n-gram in common, other than those that are left out."""
    both = (set(ngrams(evaluation, n)) & set(ngrams(training, n))).difference(left_out)
    if not both:
        return None
    in_evaluation, in_training = (_covered(words, n, both) for words in (evaluation, training))
    return Common(sum(in_evaluation) / len(in_evaluation), in_evaluation, in_training)


def _covered(words: Sequence[str], n: int, of: Collection[Ngram]) -> Sequence[bool]:
    """Whether each word is part of one of some n-grams."""
    covered = [False] * len(words)
    for start, ngram in enumerate(ngrams(words, n)):
        if ngram in of:
            covered[start : start + n] = [True] * n
    return covered
