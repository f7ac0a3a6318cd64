"""Finds, in one field of instances, the pairs of an evaluation and a training text that match."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tk_instruct.audit import compared
from tk_instruct.audit.findings import Kind, Settings
from tk_instruct.audit.lookup import Lookup
from tk_instruct.audit.similar import NearDuplicates
from tk_instruct.audit.words import Hasher, Numbered, Vocabulary, text_of, words

# What stands in more instances of a task than both of these is no sign that one was copied.
_MANY_INSTANCES, _MANY_SHARE = 10, 0.1


class Pairs(NamedTuple):
    """Pairs of texts that match in one way.

    Attributes:
        training: numbers of training texts.
        evaluation: numbers of evaluation texts.
        value: what `compared.Common` says of each.
    """

    training: np.ndarray
    evaluation: np.ndarray
    value: np.ndarray


class EvaluationTexts:
    """The texts of one field of all evaluation instances.

    Args:
        texts: an instance can have several.
        instances: the instance of each text, in order [texts].
        tasks: the task of each instance, numbered from 0 [instances].

    Attributes:
        num_left_out: the n-grams and whole texts that stand in many instances of a task.
    """

    def __init__(
        self,
        texts: Sequence[str],
        instances: Sequence[int],
        tasks: Sequence[int],
        settings: Settings,
    ) -> None:
        self.texts = texts
        self.instances = np.array(instances, np.int64)
        self._tasks = np.array(tasks, np.int64)
        self._settings = settings
        self._vocabulary = Vocabulary()
        self._numbered = numbered = self._vocabulary.add(texts)
        hasher = Hasher(numbered)
        self.num_left_out = 0
        # Number of a task → what is left out of its texts.
        self._left_out: dict[int, set[compared.Ngram]] = {}
        lengths, begins = numbered.lengths, numbered.offsets[:-1]
        whole = lengths >= compared.LEAST_WORDS
        hashes, starts = self._uncommon(hasher.whole()[whole], begins[whole], lengths[whole])
        self._whole = Lookup(hashes, starts)
        is_kept = np.zeros(len(texts), bool)
        is_kept[text_of(numbered, starts)] = True
        self._ngrams = {}
        for n in dict.fromkeys((settings.ngram, settings.short_ngram)):
            hashes, starts = hasher.ngrams(n, self._ngram_words_of(lengths) == n)
            self._ngrams[n] = Lookup(*self._uncommon(hashes, starts, np.full(len(starts), n)))
        is_long = lengths >= settings.short_ngram
        self._near = NearDuplicates(numbered, hasher, is_long & is_kept, settings.jaccard)

    def _ngram_words_of(self, lengths: np.ndarray) -> np.ndarray:
        """n of the n-grams of texts of so many words; 0 for those that have none."""
        of = self._settings
        short = np.where(lengths >= of.short_ngram, of.short_ngram, 0)
        return np.where(lengths >= of.ngram, of.ngram, short)

    def _uncommon(
        self, hashes: np.ndarray, starts: np.ndarray, num_words: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hashes and first words of runs without those in many instances, which it remembers."""
        texts = text_of(self._numbered, starts)
        instances = self.instances[texts]
        tasks = self._tasks[instances]
        order = np.lexsort((instances, tasks, hashes))
        hashes, starts, texts, num_words, instances, tasks = (
            each[order] for each in (hashes, starts, texts, num_words, instances, tasks)
        )
        begins_run = _changes(hashes) | _changes(tasks)
        run = np.cumsum(begins_run) - 1
        first = np.flatnonzero(begins_run)
        num_instances = np.bincount(run[begins_run | _changes(instances)], minlength=len(first))
        of_task = np.bincount(self._tasks, minlength=1)[tasks[first]]
        is_common = (num_instances > _MANY_INSTANCES) & (num_instances > _MANY_SHARE * of_task)
        self.num_left_out += int(is_common.sum())
        for k in first[is_common].tolist():
            start = int(starts[k] - self._numbered.offsets[texts[k]])
            left_out = self._left_out.setdefault(int(tasks[k]), set())
            left_out.add(tuple(words(self.texts[texts[k]])[start : start + int(num_words[k])]))
        is_kept = ~is_common[run]
        return hashes[is_kept], starts[is_kept]

    def find(self, texts: Sequence[str]) -> Iterator[tuple[Kind, Pairs]]:
        """The pairs of each kind with training texts, from the strongest to the weakest kind."""
        numbered = self._vocabulary.number(texts)
        hasher = Hasher(numbered)
        yield "equal", self._equal(hasher)
        yield "near_duplicate", self._near_duplicates(numbered, hasher)
        yield "ngram", self._with_ngrams(numbered, hasher)

    def _equal(self, hasher: Hasher) -> Pairs:
        hashes = hasher.whole()
        found = self._whole.rows(hashes, np.arange(len(hashes)))
        return _together(
            Pairs(training, text_of(self._numbered, starts), np.ones(len(training)))
            for training, starts in found
        )

    def _near_duplicates(self, texts: Numbered, hasher: Hasher) -> Pairs:
        found = list(self._near.find(texts, hasher))
        training, evaluation, jaccard = zip(*found, strict=True) if found else ((), (), ())
        return Pairs(np.array(training, int), np.array(evaluation, int), np.array(jaccard, float))

    def _with_ngrams(self, texts: Numbered, hasher: Hasher) -> Pairs:
        found = []
        for n, lookup in self._ngrams.items():
            hashes, places = hasher.ngrams(n, np.ones(len(texts.lengths), bool))
            for training, starts in lookup.rows(hashes, text_of(texts, places)):
                order = np.lexsort((starts, training))
                found.append(self._covered(n, training[order], starts[order]))
        return _together(found)

    def _covered(self, n: int, training: np.ndarray, starts: np.ndarray) -> Pairs:
        """Pairs with the share of the evaluation text's words that common n-grams cover.

        Args:
            training: the training text of each common n-gram, in order; at least one.
            starts: its first word in the evaluation texts, in order within a training text. It
                may be there several times.
        """
        evaluation = text_of(self._numbered, starts)
        begins_pair = _changes(training) | _changes(evaluation)
        first = np.flatnonzero(begins_pair)
        num_words = np.full(len(starts), n)
        num_words[:-1] = np.minimum(np.where(begins_pair[1:], n, np.diff(starts)), n)
        covered = np.add.reduceat(num_words, first)
        evaluation = evaluation[first]
        return Pairs(training[first], evaluation, covered / self._numbered.lengths[evaluation])

    def compare(self, kind: Kind, evaluation: int, training: str) -> compared.Common | None:
        """What an evaluation text has in common with a training text, by their real words."""
        one, other = words(self.texts[evaluation]), words(training)
        if kind == "equal":
            return compared.equal(one, other)
        if kind == "near_duplicate":
            return compared.near_duplicate(one, other, self._settings.jaccard)
        task = int(self._tasks[self.instances[evaluation]])
        return compared.common_ngrams(
            one, other, self.ngram_words(evaluation), self._left_out.get(task, set())
        )

    def ngram_words(self, text: int) -> int:
        """n of the n-grams of an evaluation text; 0 if it has none."""
        return int(self._ngram_words_of(self._numbered.lengths[text]))


def _together(parts: Iterable[Pairs]) -> Pairs:
    none = np.zeros(0, np.int64)
    return Pairs(*map(np.concatenate, zip(Pairs(none, none, np.zeros(0)), *parts, strict=True)))


def _changes(values: np.ndarray) -> np.ndarray:
    """Whether each value differs from the one before."""
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])
